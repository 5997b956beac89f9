"""Enlarge a colour picture by a function that enlarges one plane, in the colour space of choice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elsr_paddle.imaging.colour import turn_colours
from elsr_paddle.imaging.luma import BT601, upscale_by_luma

Plane = Callable[[np.ndarray], np.ndarray]  # uint8 (H, W) -> uint8 (s*H, s*W)

_RED, _, _BLUE = BT601
# BT.601's analogue (R, G, B) -> (Y, U, V), scaled so that U and V take the range of a byte.
_TO_YUV = np.stack([BT601, (np.array([0, 0, 1]) - BT601) / (2 - 2 * _BLUE),
                    (np.array([1, 0, 0]) - BT601) / (2 - 2 * _RED)])
_MIDDLE = np.array([0, 128, 128])  # bytes of gray's U and V


def upscale_rgb(image: np.ndarray, upscale_plane: Plane) -> np.ndarray:
    """Red, green and blue each by the function.

    Parameters
    ----------
    image : uint8 array, shape (H, W, 3), RGB
    upscale_plane : callable, uint8 (H, W) -> uint8 (s*H, s*W), full range

    Returns
    -------
    uint8 array, shape (s*H, s*W, 3), RGB
    """
    return np.stack([upscale_plane(np.ascontiguousarray(image[..., channel]))
                     for channel in range(3)], axis=2)


def upscale_yuv(image: np.ndarray, upscale_plane: Plane) -> np.ndarray:
    """Luma and the two differences of colour each by the function; as `upscale_rgb`.

    The planes are BT.601's in full range, rounded to bytes.
    """
    planes = np.rint(image @ _TO_YUV.T + _MIDDLE).clip(0, 255).astype(np.uint8)
    enlarged = upscale_rgb(planes, upscale_plane) - _MIDDLE.astype(np.float64)
    return np.rint(enlarged @ np.linalg.inv(_TO_YUV).T).clip(0, 255).astype(np.uint8)


# name -> function(image, upscale_plane) for networks on luma
COLOUR_SPACES = {"ycbcr": upscale_by_luma, "rgb": upscale_rgb, "yuv": upscale_yuv}


def with_saturation(image: np.ndarray, saturation: float) -> np.ndarray:
    """A picture of the same luma (BT.601), whose pixels differ from gray by less or by more.

    Parameters
    ----------
    image : uint8 array (H, W, 3), RGB
    saturation : float; 0 gives gray, 1 the picture itself.
    """
    matrix = saturation * np.eye(3) + (1 - saturation) * BT601
    return turn_colours(np.moveaxis(image, 2, 0), np.column_stack([matrix, np.zeros(3)]))
