"""What several test files need: a small set of real pairs, and the scripts by path."""

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from elsr_paddle.checkpoint import save_tensors
from elsr_paddle.degrade import make_pair
from elsr_paddle.pairs import pair_writer
from elsr_paddle.upscaling import Target, Upscaler

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


class NearestEngine:
    """An engine whose output is known: every pixel becomes a square of its colour."""

    name, model_name, reason = "nearest", "nearest", ""

    def __init__(self, scale, channels):
        self.scale, self.channels = scale, channels

    def upscale(self, image):
        assert image.dtype == np.uint8
        return image.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    upscale_plane = upscale


@pytest.fixture
def nearest():
    """Makes an Upscaler of nearest neighbours: nearest(scale=2), nearest(size=(640, 480))."""

    def make(channels=3, max_pixels=2**24, **target):
        return Upscaler(lambda scale: NearestEngine(scale, channels), (2, 3, 4), Target(**target),
                        max_pixels)

    return make


@pytest.fixture(scope="session")
def nearest_weights(tmp_path_factory):
    """A file of weights of ELSR x2 that, run by any engine, is the same nearest neighbour."""
    scale, width = 2, 6
    weights = {f"{name}.weight": np.zeros((out, into, 3, 3), np.float32) for name, out, into in (
        ("head", width, 3), ("body.0", width, width), ("body.2", width, width),
        ("tail", 3 * scale**2, width))}
    weights |= {name.replace("weight", "bias"): np.zeros(len(kernel), np.float32)
                for name, kernel in weights.items()}
    weights["body.1.weight"] = np.full(width, 0.25, np.float32)
    for channel in range(3):
        weights["head.weight"][channel, channel, 1, 1] = 1
        weights["tail.weight"][channel * scale**2:(channel + 1) * scale**2, channel, 1, 1] = 1
    path = tmp_path_factory.mktemp("weights") / "nearest_x2.safetensors"
    save_tensors(path, weights, {"model": "elsr",
                                 "config": {"scale": scale, "width": width, "prelu": "channel"}})
    return path
