"""Compute luma, and enlarge colour pictures by their luma.

A network enlarges Y, where the eye sees most; bicubic enlarges what the colours differ from it.
"""

from __future__ import annotations

import numpy as np

from elsr_paddle.imaging.resize import CUBIC_WIDTH, cubic, weights

# ITU-R BT.601: what red, green and blue contribute to luma, and its studio range.
BT601 = np.array([0.299, 0.587, 0.114])
STUDIO_BLACK, STUDIO_RANGE = 16.0, 219.0

# Added before a luma in full range is cut off. The weighted sums of levels are multiples of 0.001;
# with half of that more than a half, ties go up whatever the order in which float32 adds.
TIES_UP = 0.5005

# Products of matrices are kept below 2**18 multiply-adds. OpenBLAS shares larger ones among
# threads, which takes 50 times as long where another process, or an engine, has the cores.
_COLUMNS = 16  # LR columns resampled by one product
_LINES = 128  # rows of a plane in such a product
_ROWS, _WIDTH = 16, 1280  # output pixels made at once; their float32 values stay in the cache


def rgb_to_y(image: np.ndarray, gray: bool = False) -> np.ndarray:
    """Luma of an image: BT.601 in studio range, as the field's tables use it, not rounded.

    Parameters
    ----------
    image : uint8 or float array, shape (H, W, 3), RGB, range [0, 255]
    gray : bool, the image comes from a gray file: its Y is the gray value itself, in full range.
        (Through the studio range, Set14's `bridge` would lift the set's mean by 0.09 dB.)

    Returns
    -------
    float64 array, shape (H, W), range [16, 235], or [0, 255] for gray.

    Source: ITU-R BT.601.
    """
    luma = image @ BT601  # (H, W, 3) -> (H, W), 0..255
    return luma if gray else luma * (STUDIO_RANGE / 255) + STUDIO_BLACK


def rgb_to_luma(image: np.ndarray) -> np.ndarray:
    """Luma of an image: BT.601 in full range, as in JPEG, rounded.

    Parameters
    ----------
    image : uint8 array, shape (H, W, 3), RGB

    Returns
    -------
    uint8 array, shape (H, W), range [0, 255]; of a gray pixel its value.
    """
    return (image @ BT601.astype(np.float32) + np.float32(TIES_UP)).astype(np.uint8)


def upscale_by_luma(image: np.ndarray, upscale_plane) -> np.ndarray:
    """Enlarge a colour picture by a function that enlarges its luma.

    Parameters
    ----------
    image : uint8 array, shape (H, W, 3), RGB
    upscale_plane : callable, uint8 (H, W) -> uint8 (s*H, s*W), full range, s an integer

    Returns
    -------
    uint8 array, shape (s*H, s*W, 3), RGB: the luma of `upscale_plane`, to which red, green and
    blue minus luma are added, enlarged by the bicubic of `imresize` without its rounding.
    """
    luma = rgb_to_luma(image)
    enlarged = upscale_plane(luma)
    scale = enlarged.shape[0] // luma.shape[0]
    colour = np.subtract(image.transpose(2, 0, 1), luma, dtype=np.float32)  # (3, H, W)
    return _add_colour(enlarged, _widen(colour, scale), scale)


def _widen(planes, scale):
    """float32 (3, H, W) -> (3, H, scale * W), by bicubic."""
    height, width = planes.shape[1:]
    lines = planes.reshape(3 * height, width)
    wide = np.empty((3 * height, scale * width), np.float32)
    for outputs, inputs, matrix in _resampling(width, scale, _COLUMNS):
        for part in _pieces(len(lines), _LINES):
            np.matmul(lines[part, inputs], matrix.T, out=wide[part, outputs])
    return wide.reshape(3, height, scale * width)


def _add_colour(luma, colour, scale):
    """uint8 (s*H, s*W) + float32 (3, H, s*W), enlarged along its columns -> uint8 RGB."""
    image = np.empty((*luma.shape, 3), np.uint8)
    for outputs, inputs, matrix in _resampling(colour.shape[1], scale, max(1, _ROWS // scale)):
        for part in _pieces(luma.shape[1], _WIDTH):
            # To be truncated; the half rounds it.
            base = np.add(luma[outputs, part], 0.5, dtype=np.float32)
            for channel in range(3):
                tile = matrix @ colour[channel, inputs, part]
                tile += base
                image[outputs, part, channel] = np.clip(tile, 0, 255, out=tile)
    return image


def _pieces(length, most):
    """Slices of about one size, at most `most`, that cover `length`."""
    count = -(-length // most)
    bounds = [length * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in zip(bounds, bounds[1:])]


def _resampling(length, scale, block):
    """Cut the bicubic enlargement of an axis into small matrices: almost all of a whole is zeros.

    Yields
    ------
    (slice of outputs, slice of inputs, float32 matrix from these to those) for `block` inputs each
    """
    taps = weights(length, length * scale, float(scale), cubic, CUBIC_WIDTH)
    window = np.arange(taps.weights.shape[1])
    for first in range(0, length * scale, block * scale):
        outputs = slice(first, first + block * scale)
        starts = taps.starts[outputs]
        inputs = slice(starts.min(), starts.max() + len(window))
        matrix = np.zeros((len(starts), inputs.stop - inputs.start), np.float32)
        columns = (starts - inputs.start)[:, None] + window
        np.put_along_axis(matrix, columns, taps.weights[outputs].astype(np.float32), axis=1)
        yield outputs, inputs, matrix
