"""Bicubic resizing as MATLAB's `imresize` does it: what every published LR image is made with.

OpenCV's cubic does not antialias and Pillow's differs by up to 15 levels; neither replaces this.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from elsr_paddle.errors import InputError, needs

BAND_ROWS = 16  # output rows made at once, whose inputs as float64 stay in the cache
CUBIC_WIDTH = 4  # input pixels the kernel covers before it is stretched against aliasing


def imresize(image, *, scale=None, size=None):
    """Resize with MATLAB's `imresize(image, scale, 'bicubic')`, bit for bit on uint8.

    Two one-dimensional passes, the axis that shrinks most first (rows when equal), kernel a = -0.5,
    widened when shrinking, edges mirrored. uint8 is rounded after EACH pass, halves upwards.

    Parameters
    ----------
    image : uint8 or float array, shape (H, W) or (H, W, C)
    scale : float, output pixels per input pixel; the output has ceil(scale * n) pixels.
    size : (height, width) of the output; give this or `scale`.

    Returns
    -------
    array of the image's dtype; float values are neither rounded nor clipped.

    Raises
    ------
    InputError if the image is empty or of another kind, or not exactly one of scale, size is given.

    Source: the LR files published with Set5 (x2, x3, x4) come out exactly so.
    """
    check_image(image)
    size, scales = _target(image.shape, scale, size)
    result = image
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        if result.shape[axis] != size[axis] or scales[axis] != 1:
            taps = weights(result.shape[axis], size[axis], scales[axis], cubic, CUBIC_WIDTH)
            result = apply(taps, result, axis)
    return result.copy() if result is image else result


def modcrop(image, scale):
    """Top-left part of `image` whose height and width are multiples of `scale` (a view).

    Raises
    ------
    InputError if nothing is left.
    """
    height, width = (length - length % scale for length in image.shape[:2])
    if height == 0 or width == 0:
        raise InputError(
            f"expected an image of at least {scale}x{scale} pixels but got "
            f"{image.shape[1]}x{image.shape[0]}; use a larger one"
        )
    return image[:height, :width]


def opencv_cubic(image, size):
    """OpenCV's INTER_CUBIC (a = -0.75, no antialiasing): what the PyTorch port calls bicubic.

    Parameters
    ----------
    image : uint8 or float array, shape (H, W) or (H, W, C)
    size : (height, width) of the output

    Raises
    ------
    InputError if OpenCV is not installed.
    """
    cv2 = needs("cv2", extra="opencv")
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def check_image(image):
    """Raise InputError unless `image` is a non-empty uint8 or float array of 2 or 3 axes."""
    image_like = image.ndim in (2, 3) and image.size > 0
    if not image_like or not (image.dtype == np.uint8 or image.dtype.kind == "f"):
        raise InputError(
            "expected a non-empty uint8 or float image of shape (H, W) or (H, W, C) "
            f"but got {image.dtype} {image.shape}"
        )


def cubic(x):
    """Keys' cubic convolution kernel with a = -0.5, MATLAB's choice; zero outside [-2, 2]."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


class Taps(NamedTuple):
    """What one axis is resampled with: output i is weights[i] @ inputs[starts[i]:][:window]."""

    starts: np.ndarray  # int64 (out_length,)
    weights: np.ndarray  # float64 (out_length, window), rows summing to 1


@lru_cache(maxsize=64)
def weights(in_length, out_length, scale, kernel, kernel_width):
    """The `Taps` that resample one axis.

    Pixel centres are aligned: output i lies at input (i + 0.5) / scale - 0.5. When shrinking, the
    kernel is stretched by 1 / scale. Indices beyond the edge are mirrored, the edge pixel included.
    """
    stretch = min(scale, 1.0)
    width = kernel_width / stretch
    # 1-based and in MATLAB's order of operations: the last bit of a weight can decide a rounding.
    centre = np.arange(1, out_length + 1) / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(centre - width / 2)
    taps = left[:, None] + np.arange(math.ceil(width) + 2)  # (out_length, taps)
    values = stretch * kernel(stretch * (centre[:, None] - taps))
    values /= values.sum(axis=1, keepdims=True)
    used = np.flatnonzero(values.any(axis=0))
    used = slice(used[0], used[-1] + 1)
    columns = _mirror(taps[:, used].astype(np.int64) - 1, in_length)
    window = min(columns.shape[1], in_length)
    starts = columns.min(axis=1).clip(0, in_length - window)
    folded = np.zeros((out_length, window))
    # An input that is mirrored onto another adds its weight to it.
    np.add.at(folded, (np.arange(out_length)[:, None], columns - starts[:, None]), values[:, used])
    return Taps(starts, folded)


def apply(taps, image, axis):
    """Resample one axis of an image; uint8 is rounded half up and clipped, float stays float."""
    first = np.moveaxis(image, axis, 0)
    if first[0].size == 1:  # einsum sums a lone column in another order, which rounds otherwise
        return apply(taps, image.repeat(2, axis=1 - axis), axis).take([0], axis=1 - axis)
    lines = np.ascontiguousarray(first).reshape(len(first), -1)  # (length, lines across the axis)
    result = np.empty((len(taps.starts), lines.shape[1]), image.dtype)
    for top in range(0, len(result), BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        sums = _weighted_sums(lines, Taps(taps.starts[band], taps.weights[band]))
        if image.dtype == np.uint8:
            sums += 0.5  # with the truncation below MATLAB's uint8(): halves up, range clipped
            np.clip(sums, 0, 255, out=sums)
        result[band] = sums
    return np.ascontiguousarray(np.moveaxis(result.reshape(-1, *first.shape[1:]), 0, axis))


def _weighted_sums(lines, taps):
    """float64 (len(taps.starts), lines.shape[1]); each sum runs over its inputs one by one."""
    window = taps.weights.shape[1]
    top = taps.starts.min()
    inputs = lines[top : taps.starts.max() + window].astype(np.float64)
    sums = np.empty((len(taps.starts), lines.shape[1]))
    for start, row, total in zip(taps.starts - top, taps.weights, sums):
        # Not `@`: BLAS adds in an order of its own, and the last bit can decide a rounding.
        np.einsum("k,kn->n", row, inputs[start : start + window], out=total)
    return sums


def _mirror(index, length):
    """Fold any index into 0..length-1 by reflecting at the outer edges of the edge pixels."""
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _target(shape, scale, size):
    """Output (height, width) and the exact scale of each axis."""
    if (scale is None) == (size is None):
        raise InputError("expected exactly one of scale and size")
    if size is None:
        scales = (float(scale), float(scale))
        size = tuple(math.ceil(scale * length) for length in shape[:2])
    else:
        scales = tuple(out / length for out, length in zip(size, shape))
    if min(size) < 1 or min(scales) <= 0:
        raise InputError(f"expected an output of at least 1x1 pixels but got {size}")
    return size, scales
