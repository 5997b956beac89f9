"""Tell from its pixels whether a picture was shrunk without antialiasing.

A filter takes the finest detail away before pixels are left out. Without one, detail that is finer
still is folded into it. So what is left of the finest detail is compared with the detail of twice
and four times its size, which neither way of shrinking changes much.
"""

from __future__ import annotations

import numpy as np

LOOKED_AT = 512  # pixels of the middle of a picture, along each axis
LEAST = 56  # pixels along each axis of which anything can be told
# The norms by which detail is averaged, the finest first. The highest one sees the stairs of edges,
# the lowest one what lies between edges.
_NORMS = (4, 2, 0.5)
_FLOOR = 0.05  # levels, so that flat pictures have a logarithm
# By benchmarks/aliasing.py, on photos: the weights of the three logarithms, and what is added.
WEIGHTS, SHIFT = (13.580, -14.906, 3.296), -12.496


def detail(luma: np.ndarray) -> np.ndarray:
    """How strong the finest detail is at full resolution, at half and at a quarter of it.

    Detail is what second differences along both axes leave, taken from the middle of the picture.

    Parameters
    ----------
    luma : uint8 array, shape (H, W), `LEAST` or more pixels along each axis

    Returns
    -------
    float64 array, shape (3,): natural logarithms of levels
    """
    plane, strengths = _middle(luma).astype(np.float32), []
    for norm in _NORMS:
        finest = np.abs(np.diff(np.diff(plane, 2, axis=0), 2, axis=1))
        strengths.append(np.mean(finest**norm, dtype=np.float64) ** (1 / norm))
        plane = _halved(plane)
    return np.log(np.array(strengths) + _FLOOR)


def aliasing(luma: np.ndarray) -> float:
    """How much a picture looks as one that was shrunk without antialiasing.

    Parameters
    ----------
    luma : uint8 array, shape (H, W)

    Returns
    -------
    float, above 0 where it does; -inf of pictures too small to tell.
    """
    if min(luma.shape) < LEAST:
        return -np.inf
    return float(detail(luma) @ WEIGHTS + SHIFT)


def _middle(luma):
    rows, columns = (slice(max(0, (length - LOOKED_AT) // 2), (length + LOOKED_AT) // 2)
                     for length in luma.shape)
    return luma[rows, columns]


def _halved(plane):
    """Means of 2x2 pixels; an odd last row or column goes."""
    height, width = (length - length % 2 for length in plane.shape)
    rows = plane[:height:2, :width] + plane[1:height:2, :width]
    return (rows[:, ::2] + rows[:, 1::2]) / 4
