"""The demo set: antialiased motion over photos that are there without a download."""

import dataclasses

import numpy as np
import pytest

from elsr_paddle.data import demo
from elsr_paddle.data.pairs import Pairs
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import list_images, read_image

ALL_SHOTS = [*demo.TRAIN, *demo.VAL]
STILL = demo.Shot("astronaut", (120, 216), 2, (1.0, 0.0, 0.5, 0.5), (1.0, 0.0, 0.5, 0.5))


def moving(**last):
    names = ("zoom", "degrees", "down", "right")
    pose = tuple(last.get(name, value) for name, value in zip(names, STILL.last))
    return dataclasses.replace(STILL, last=pose)


def mean_difference(first, second):
    return np.abs(first.astype(float) - second).mean()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The whole demo set, built once: it is what every bare script runs on."""
    return demo.ensure(tmp_path_factory.mktemp("data") / "demo")


def test_no_photo_of_the_validation_clip_is_in_a_training_clip():
    assert not {shot.photo for shot in demo.VAL} & {shot.photo for shot in demo.TRAIN}


@pytest.mark.parametrize("shot", ALL_SHOTS, ids=lambda shot: shot.photo)
def test_a_clip_enlarges_nothing_and_stays_inside_its_photo(shot):
    height, width = shot.size
    shape = demo.load_photo(shot.photo).shape
    corners = np.array([[x, y, 1] for x in (0, width - 1) for y in (0, height - 1)]).T
    for progress in np.linspace(0, 1, shot.frames):
        matrix = demo._photo_from_frame(shape, shot, progress)
        x, y, _ = matrix @ corners
        assert np.linalg.det(matrix) >= 1 - 1e-9
        assert min(x.min(), y.min()) > -1e-6
        assert x.max() <= shape[1] - 1 + 1e-6
        assert y.max() <= shape[0] - 1 + 1e-6


@pytest.mark.parametrize("shot", ALL_SHOTS, ids=lambda shot: shot.photo)
def test_frames_divide_by_every_scale(shot):
    assert shot.size[0] % 12 == shot.size[1] % 12 == 0


def test_a_camera_at_rest_shows_the_photo_itself():
    frame = next(demo.render(STILL))
    photo = demo.load_photo("astronaut")[196:316, 148:364]  # the middle 120 x 216 of 512 x 512
    assert mean_difference(frame, photo) < 2  # three samples a pixel soften it by so little


def test_a_camera_that_moves_by_half_a_pixel_shows_what_lies_between():
    room = 512 - 216  # pixels the frame can move to the right
    frame = list(demo.render(moving(right=0.5 + 0.5 / room)))[-1].astype(float)
    at_rest = next(demo.render(STILL)).astype(float)
    between = (at_rest[:, :-1] + at_rest[:, 1:]) / 2
    assert mean_difference(frame[:, :-1], between) < 0.5 * mean_difference(frame, at_rest)


def test_zooming_out_does_not_alias():
    shot = dataclasses.replace(moving(zoom=4.0), size=(96, 96))
    shrunk = list(demo.render(shot))[-1]
    photo = demo.load_photo("astronaut")[64:448, 64:448]
    area = photo.reshape(96, 4, 96, 4, 3).mean(axis=(1, 3))  # the 4x4 that a pixel shows
    decimated = photo[2::4, 2::4]
    assert mean_difference(shrunk, area) < 0.35 * mean_difference(decimated, area)


def test_a_frame_too_large_for_its_photo_is_refused():
    with pytest.raises(InputError, match="fit into astronaut"):
        next(demo.render(dataclasses.replace(STILL, size=(600, 600))))


def test_the_demo_set_holds_frames_and_pairs_for_both_scales(built):
    for split, shots in demo.SPLITS.items():
        for shot in shots:
            frames = list_images(built / split / shot.photo)
            assert len(frames) == shot.frames
            assert read_image(frames[0]).shape[:2] == shot.size
    for scale in demo.SCALES:
        with Pairs(built / f"val_x{scale}.h5", scale=scale) as pairs:
            assert pairs.hr_size == demo.VAL[0].size  # whole frames
            assert len(pairs) == demo.VAL[0].frames
        with Pairs(built / f"train_x{scale}.h5", scale=scale) as pairs:
            assert pairs.hr_size == (demo.HR_PATCH, demo.HR_PATCH)
            assert set(pairs.clips) == {shot.photo for shot in demo.TRAIN}


def test_a_demo_set_that_is_there_is_not_built_again(built, monkeypatch):
    monkeypatch.setattr(demo, "render", None)
    assert demo.ensure(built) == built


def test_of_two_builds_at_once_the_slower_one_takes_what_the_faster_one_made(built, tmp_path):
    demo._put_in_place(tmp_path, built)
    assert demo.is_complete(built)


def test_a_demo_set_of_which_files_are_missing_is_not_touched(tmp_path):
    mine = tmp_path / "demo" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("not part of the demo")
    with pytest.raises(InputError, match="remove the folder"):
        demo.ensure(tmp_path / "demo")
    assert mine.read_text() == "not part of the demo"


def test_an_interrupted_build_leaves_nothing(tmp_path):
    def interrupted(shots, **_):
        yield shots[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.ensure(tmp_path / "data" / "demo", progress=interrupted)
    assert list((tmp_path / "data").iterdir()) == []
