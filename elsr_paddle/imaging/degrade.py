"""How an LR image is made from an HR one. One function makes every pair, in training and tests."""

from __future__ import annotations

import numpy as np

from elsr_paddle.errors import InputError, needs
from elsr_paddle.imaging.resize import apply, check_image, imresize, modcrop, opencv_cubic, weights

BLUR_SIGMA = 0.25  # of `blur_noise`, in LR pixels: 1 HR pixel at x4
NOISE_SIGMA = 3.0  # of `blur_noise`, in levels of 0..255
DECIMATE_SIGMA = 0.4  # of `gaussian_decimate`, in LR pixels: the usual 1.6 HR pixels at x4


def bicubic(hr, scale, seed=0):
    """MATLAB's antialiased bicubic: the degradation of the published tables and of REDS."""
    # MATLAB users write imresize(hr, 1/scale); giving the size keeps the count exact at any scale.
    return imresize(hr, size=(hr.shape[0] // scale, hr.shape[1] // scale))


def blur_noise(hr, scale, seed=0):
    """Gaussian blur, then bicubic, then Gaussian noise drawn from `seed`: a cheap camera."""
    cv2 = needs("cv2", extra="opencv")
    sigma = BLUR_SIGMA * scale
    lr = bicubic(cv2.GaussianBlur(hr, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), scale)
    noise = np.random.default_rng(seed).normal(0.0, NOISE_SIGMA, lr.shape)
    return np.clip(np.rint(lr + noise), 0, 255).astype(np.uint8)


def gaussian_decimate(hr, scale, seed=0):
    """Gaussian blur, then every `scale`-th value along each axis.

    The blur is evaluated at the centre of each scale x scale cell (between pixels when the scale is
    even), so the LR image is not shifted and flipping commutes with degrading.
    """
    for axis in (0, 1):
        length = hr.shape[axis]
        taps = weights(length, length // scale, 1 / scale, _gaussian, 8 * DECIMATE_SIGMA)
        hr = apply(taps, hr, axis)
    return hr


def opencv(hr, scale, seed=0):
    """OpenCV's cubic without antialiasing, as the PyTorch port does: for comparison only."""
    return opencv_cubic(hr, (hr.shape[0] // scale, hr.shape[1] // scale))


def _gaussian(x):
    return np.exp(-0.5 * (x / DECIMATE_SIGMA) ** 2)


# name -> function(hr uint8 (H, W, 3), scale, seed) -> lr uint8 (H / scale, W / scale, 3);
# only `blur_noise` draws numbers. The names are recorded in every file of pairs.
DEGRADATIONS = {
    "bicubic": bicubic,
    "blur_noise": blur_noise,
    "gaussian_decimate": gaussian_decimate,
    "opencv_cubic": opencv,
}


def make_pair(hr, scale, degradation="bicubic", seed=0):
    """The LR image of `hr`, and `hr` cropped (top left) to a multiple of `scale`.

    Parameters
    ----------
    hr : uint8 array, shape (H, W, 3) or (H, W), range 0..255
    scale : int, 1 or more
    degradation : a name in DEGRADATIONS
    seed : int, of the noise in `blur_noise`; give each image its own.

    Returns
    -------
    (lr, hr) : uint8 arrays, shapes (h, w, ...) and (h * scale, w * scale, ...)

    Raises
    ------
    InputError if the name is unknown or the image smaller than one LR pixel.
    """
    check_image(hr)
    if degradation not in DEGRADATIONS:
        raise InputError(
            f"expected a degradation in {', '.join(DEGRADATIONS)} but got {degradation!r}"
        )
    hr = modcrop(hr, scale)
    return DEGRADATIONS[degradation](hr, scale, seed=seed), hr
