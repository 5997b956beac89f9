"""Which network, which size, and what happens around the network."""

import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.enlarge.sizes import Plan, compare, upscale_deep
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.resize import imresize


@pytest.mark.parametrize("target, plan", [
    ({"scale": 4}, Plan(4, 400, 800)),
    ({"scale": 3}, Plan(3, 300, 600)),
    ({"scale": 1.5}, Plan(2, 150, 300)),
    ({"scale": 2.01}, Plan(3, 201, 402)),
    ({"scale": 0.5}, Plan(1, 50, 100)),
    ({"size": (640, 100)}, Plan(4, 100, 640)),
    ({"fit": (700, 300)}, Plan(3, 300, 600)),
    ({"fit": (500, 500)}, Plan(3, 250, 500)),
])
def test_the_next_larger_network_is_taken(nearest, target, plan):
    assert nearest(**target).plan(100, 200) == plan


def test_a_rounded_half_pixel_does_not_call_for_the_next_network(nearest):
    assert nearest(fit=(1920, 1080)).plan(270, 479).network == 4


def test_more_than_the_largest_network_is_refused_with_the_factor(nearest):
    with pytest.raises(InputError, match="100x50 to 800x400 is x8 but the largest network is x4"):
        nearest(size=(800, 400)).plan(50, 100)


def test_a_bomb_is_refused_and_the_flag_named(nearest):
    with pytest.raises(InputError, match="1,600,000,000 pixels.*--max-pixels"):
        nearest(scale=4).plan(10000, 10000)


def test_a_size_between_comes_from_the_network_by_antialiased_bicubic(nearest):
    image = astronaut()[:40, :60]
    upscaled = nearest(scale=1.5).upscale(image)
    larger = image.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(upscaled, imresize(larger, size=(60, 90)))


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_goes_through_either_network_and_stays_gray(nearest, channels):
    gray = astronaut()[:30, :40, 1]
    upscaled = nearest(channels=channels, scale=2).upscale(gray)
    np.testing.assert_array_equal(upscaled, gray.repeat(2, 0).repeat(2, 1))


def test_sixteen_dithered_passes_carry_twelve_bits():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    through_eight_bits = upscale_deep(lambda shallow: shallow, deep, passes=16)
    # A pass tells 255 steps of 257 levels apart; sixteen, steps of 16.
    assert np.abs(through_eight_bits.astype(int) - deep).max() <= 257 / 16
    assert len(np.unique(through_eight_bits)) > 2**11


def test_a_comparison_is_split_in_the_middle_or_twice_as_wide():
    dark, light = np.zeros((4, 8, 3), np.uint8), np.full((4, 8, 3), 200, np.uint8)
    split = compare(dark, light, "split")
    assert split[0, :, 0].tolist() == [0, 0, 0, 255, 255, 200, 200, 200]
    assert compare(dark, light, "side").shape == (4, 16, 3)
