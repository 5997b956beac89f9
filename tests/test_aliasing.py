"""Aliasing is told from the pixels of a picture."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, chelsea, coffee, rocket

from elsr_paddle.imaging.aliasing import LEAST, LOOKED_AT, aliasing
from elsr_paddle.imaging.degrade import JPEG, Bicubic, GaussianDecimate, Lanczos, OpenCV, noisy
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.imaging.resize import modcrop

# One picture of ten is told wrong (benchmarks/aliasing.py); these are not among them.
PHOTOS = {"astronaut": astronaut, "chelsea": chelsea, "coffee": coffee, "rocket": rocket}


def lr(photo, degradation, scale):
    return degradation(modcrop(PHOTOS[photo](), scale)[None], scale)[0]


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "rocket"])
@pytest.mark.parametrize("scale", [3, 4])
@pytest.mark.parametrize("interpolation", ["INTER_CUBIC", "INTER_LINEAR", "INTER_NEAREST"])
def test_pictures_that_were_shrunk_without_a_filter_are_told(photo, scale, interpolation):
    assert aliasing(rgb_to_luma(lr(photo, OpenCV(interpolation), scale))) > 0


@pytest.mark.parametrize("photo", ["astronaut", "chelsea"])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("degradation", [Bicubic(), Lanczos(), GaussianDecimate()])
def test_pictures_that_were_shrunk_with_a_filter_are_not(photo, scale, degradation):
    picture = lr(photo, degradation, scale)
    assert aliasing(rgb_to_luma(picture)) < 0
    assert aliasing(rgb_to_luma(noisy(picture, 5, 0))) < 0
    assert aliasing(rgb_to_luma(JPEG(75)(picture[None])[0])) < 0


def test_a_photo_and_what_was_enlarged_are_not_aliased():
    picture = chelsea()
    assert aliasing(rgb_to_luma(picture)) < 0
    assert aliasing(rgb_to_luma(cv2.resize(picture[:200, :200], (400, 400)))) < 0


def test_it_is_the_same_of_a_picture_that_is_turned_or_mirrored():
    picture = rgb_to_luma(chelsea())[:200, :300]
    for other in (picture.T, picture[::-1], picture[:, ::-1]):
        assert aliasing(other) == pytest.approx(aliasing(picture), rel=1e-5)


def test_only_the_middle_of_a_large_picture_is_looked_at():
    small = rgb_to_luma(astronaut())
    large = np.zeros((LOOKED_AT + 90, LOOKED_AT + 51), np.uint8)
    large[45:45 + LOOKED_AT, 25:25 + LOOKED_AT] = small
    assert aliasing(large) == aliasing(small)


@pytest.mark.parametrize("height, width", [(1, 1), (LEAST - 1, 400), (400, LEAST - 1)])
def test_nothing_is_told_of_small_pictures(height, width, noise):
    assert aliasing(noise(height, width)) == -np.inf


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_not_aliased(level):
    assert aliasing(np.full((LEAST, LEAST), level, np.uint8)) < 0
