"""The one PSNR and the one SSIM."""

import math

import numpy as np
import pytest
from scipy.signal import convolve2d

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.metrics import psnr, ssim


@pytest.fixture
def pair():
    random = np.random.default_rng(3)
    reference = random.integers(0, 256, (31, 40, 3), dtype=np.uint8)
    noise = random.normal(0, 12, reference.shape)
    return reference, np.clip(reference + noise, 0, 255).astype(np.uint8)


def test_psnr_of_an_error_of_one_level_everywhere():
    reference = np.full((5, 7, 3), 100, np.uint8)
    # 20 log10(255) = 48.1308 dB, by the definition
    assert psnr(reference, reference + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(reference, reference - 1) == pytest.approx(48.1308, abs=1e-4)


def test_equal_images_have_infinite_psnr_and_ssim_one(pair):
    assert psnr(pair[0], pair[0]) == math.inf
    assert ssim(pair[0], pair[0]) == pytest.approx(1)


def test_the_callers_arrays_stay_as_they_are(pair):
    before = [image.copy() for image in pair]
    psnr(*pair, crop_border=2)
    ssim(*pair, crop_border=2)
    assert all(np.array_equal(old, new) for old, new in zip(before, pair))


def test_the_border_does_not_count(pair):
    reference, restored = pair[0], pair[0].copy()
    restored[:4] = restored[-4:] = 0
    restored[:, :4] = restored[:, -4:] = 0
    assert psnr(reference, restored, crop_border=3) < math.inf
    assert psnr(reference, restored, crop_border=4) == math.inf


def test_different_shapes_are_refused(pair):
    for metric in (psnr, ssim):
        with pytest.raises(InputError, match="shape"):
            metric(pair[0], pair[1][:-1])


def test_a_border_that_leaves_nothing_is_refused(pair):
    for metric in (psnr, ssim):
        with pytest.raises(InputError, match="border"):
            metric(*pair, crop_border=16)


def test_ssim_needs_a_whole_window(pair):
    small = [image[:10] for image in pair]
    with pytest.raises(InputError, match="11x11"):
        ssim(*small)


def test_ssim_is_that_of_wangs_ssim_m(pair):
    """Against the formula of Wang et al. 2004 (ssim.m) written out with full 2-D convolutions."""
    x, y = (image[..., 1].astype(float) for image in pair)
    square = np.arange(-5, 6) ** 2
    window = np.exp(-(square[:, None] + square) / (2 * 1.5**2))
    window /= window.sum()

    def local(values):
        return convolve2d(values, window, mode="valid")

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert ssim(x, y) == pytest.approx((top / bottom).mean(), abs=1e-9)


def test_ssim_of_colour_is_the_mean_of_its_channels(pair):
    channels = [ssim(pair[0][..., c], pair[1][..., c]) for c in range(3)]
    assert ssim(*pair) == pytest.approx(np.mean(channels))
