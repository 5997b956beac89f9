"""Turn colours by a matrix: by OpenCV where it is installed, else by numpy."""

from __future__ import annotations

import functools

import numpy as np

_BAND = 64  # rows at a time, whose floats stay in the cache


def turn_colours(planes, matrix):
    """Multiply the three samples of every pixel, and a one, by a matrix.

    Parameters
    ----------
    planes : sequence of three uint8 arrays, shape (H, W)
    matrix : float array, shape (3, 4); the last column is added, in levels.

    Returns
    -------
    uint8 array, shape (H, W, 3): rounded and clipped, with and without OpenCV within one level.
    """
    cv2 = _opencv()
    if cv2:
        return cv2.transform(cv2.merge(planes), np.asarray(matrix))
    height, width = planes[0].shape
    matrix = np.asarray(matrix, np.float32)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        rows = slice(top, top + _BAND)
        levels = np.stack([plane[rows] for plane in planes], axis=-1) @ matrix[:, :3].T
        levels += matrix[:, 3] + 0.5
        result[rows] = levels.clip(0, 255)
    return result


@functools.cache
def _opencv():
    """OpenCV, or None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2
