"""What several test files need: a small set of real pairs, and the scripts by path."""

from pathlib import Path

import pytest
from skimage.data import astronaut, coffee

from elsr_paddle.degrade import make_pair
from elsr_paddle.pairs import pair_writer

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """A folder as prepare_h5.py makes it: x2 and x4, 24 training and 4 validation pairs."""
    folder = tmp_path_factory.mktemp("training_data")
    photos = {"train": astronaut()[:256, :384], "val": coffee()[100:164, 100:356]}
    for scale in (2, 4):
        for part, photo in photos.items():
            with pair_writer(folder / f"{part}_x{scale}.h5", scale=scale) as pairs:
                for top in range(0, photo.shape[0], 64):
                    for left in range(0, photo.shape[1], 64):
                        lr, hr = make_pair(photo[top : top + 64, left : left + 64], scale)
                        pairs.add(lr, hr, clip=part)
    return folder


@pytest.fixture(scope="session")
def root():
    """The folder that holds the scripts."""
    return ROOT
