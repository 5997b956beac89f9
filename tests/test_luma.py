"""Luma by BT.601, and colour pictures enlarged by their luma."""

import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.imaging.luma import rgb_to_luma, rgb_to_y, upscale_by_luma
from elsr_paddle.imaging.resize import imresize

COLOURS = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)


def nearest(scale):
    return lambda plane: plane.repeat(scale, axis=0).repeat(scale, axis=1)


def exactly(image, scale):
    """What `upscale_by_luma` makes with nearest neighbours, in float64 and not rounded."""
    luma = rgb_to_luma(image)
    colour = image.astype(float) - luma[..., None]
    size = (scale * luma.shape[0], scale * luma.shape[1])
    return (nearest(scale)(luma)[..., None] + imresize(colour, size=size)).clip(0, 255)


def test_y_has_studio_range_and_the_weights_of_bt601():
    # ITU-R BT.601: black 16, white 235, and 16 + 65.481, 128.553, 24.966 for the primaries.
    assert np.allclose(rgb_to_y(COLOURS), [[16, 235, 81.481, 144.553, 40.966]])


def test_luma_in_full_range_is_that_of_jpeg():
    # JFIF 1.02: 0.299, 0.587 and 0.114 of 255, rounded.
    assert rgb_to_luma(COLOURS).tolist() == [[0, 255, 76, 150, 29]]


def test_y_of_a_gray_file_and_luma_of_a_gray_pixel_are_their_gray_value():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.repeat(gray[..., None], 3, axis=2)
    assert np.allclose(rgb_to_y(image, gray=True), gray)
    np.testing.assert_array_equal(rgb_to_luma(image), gray)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (37, 53), (5, 700)])
def test_the_colours_are_those_of_bicubic_to_half_a_level(scale, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    enlarged = upscale_by_luma(noise, nearest(scale))
    assert enlarged.dtype == np.uint8
    assert np.abs(enlarged - exactly(noise, scale)).max() <= 0.5 + 1e-3


def test_a_picture_that_is_not_enlarged_comes_back_bit_for_bit():
    photo = np.ascontiguousarray(astronaut()[:50, :70])
    np.testing.assert_array_equal(upscale_by_luma(photo, nearest(1)), photo)


def test_a_picture_wider_than_a_band_of_pixels_is_enlarged_too():
    wide = np.random.default_rng(0).integers(0, 256, (3, 9000, 3), dtype=np.uint8)
    enlarged = upscale_by_luma(wide, nearest(4))
    assert np.abs(enlarged - exactly(wide, 4)).max() <= 0.5 + 1e-3
