"""How near a restored image comes to its reference: the project's one PSNR and one SSIM."""

from __future__ import annotations

import math

import numpy as np

from elsr_paddle.errors import InputError

PEAK = 255.0
_SSIM_WINDOW = 11  # pixels


def psnr(reference, restored, *, crop_border=0):
    """Peak signal-to-noise ratio of two 8-bit images, in dB.

    Parameters
    ----------
    reference, restored : uint8 or float array, shape (H, W) or (H, W, 3), range [0, 255]
    crop_border : int, pixels left out on each side; papers use `scale` for stills, 0 for REDS.

    Returns
    -------
    float, dB; inf when the images are equal.

    Raises
    ------
    InputError if the shapes differ or nothing is left after cropping.

    Source: arXiv 2211.05256 (full-frame RGB), arXiv 1609.05158 (Y, cropped).
    """
    reference, restored = _comparable(reference, restored, crop_border)
    difference = reference.astype(np.float64) - restored
    mean_square = float(np.vdot(difference, difference)) / difference.size
    return math.inf if mean_square == 0 else 10 * math.log10(PEAK**2 / mean_square)


def ssim(reference, restored, *, crop_border=0):
    """Structural similarity of two 8-bit images: 11x11 Gaussian, sigma 1.5, mean of channels.

    Parameters
    ----------
    reference, restored : uint8 or float array, shape (H, W) or (H, W, 3), range [0, 255]
    crop_border : int, pixels left out on each side, as for `psnr`.

    Returns
    -------
    float, at most 1; 1 when the images are equal.

    Raises
    ------
    InputError if the shapes differ or less than one window of 11x11 pixels is left.

    Source: Wang et al. 2004, and its ssim.m: only whole windows count, K1 = 0.01, K2 = 0.03.
    """
    from skimage.metrics import structural_similarity  # late: half a second, and of an extra

    reference, restored = _comparable(reference, restored, crop_border)
    if min(reference.shape[:2]) < _SSIM_WINDOW:
        raise InputError("expected 11x11 pixels or more for SSIM but got "
                         f"{reference.shape[1]}x{reference.shape[0]}; use a larger image")
    return float(structural_similarity(
        reference.astype(np.float64), restored.astype(np.float64), data_range=PEAK,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=2 if reference.ndim == 3 else None,
    ))


def _comparable(reference, restored, crop_border):
    """Both arrays without their border: views, so the caller's arrays stay as they are."""
    if reference.shape != restored.shape:
        raise InputError(f"expected two images of one shape but got {reference.shape} and "
                         f"{restored.shape}; crop or resize one of them")
    height, width = reference.shape[:2]
    if min(height, width) <= 2 * crop_border:
        raise InputError(f"expected more than a border of {crop_border} pixels on each side but "
                         f"got {width}x{height}; use a larger image")
    inside = (slice(crop_border, height - crop_border), slice(crop_border, width - crop_border))
    return reference[inside], restored[inside]
