"""Turn batches of pictures into tensors."""

from __future__ import annotations

import numpy as np

from elsr_paddle.imaging.luma import BT601

LEVELS = 255  # of 8 bits above black
LUMA = tuple(np.rint(1000 * BT601).astype(int).tolist())  # thousandths of R, G and B


def planes_of(images: np.ndarray, channels: int) -> np.ndarray:
    """Pictures as float32 planes in [0, 1].

    Luma is summed in whole numbers, which float32 holds exactly, and multiplied once: the bits do
    not depend on the order in which a machine adds.

    Parameters
    ----------
    images : uint8 (N, H, W, 3), RGB
    channels : 3 for RGB, 1 for luma (BT.601, full range)

    Returns
    -------
    float32 (N, channels, H, W)
    """
    if channels == 3:
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
        planes *= np.float32(1 / LEVELS)
        return planes
    luma = images.reshape(-1, 3).astype(np.float32) @ np.array(LUMA, np.float32)
    luma *= np.float32(1 / (LEVELS * sum(LUMA)))
    return luma.reshape(len(images), 1, *images.shape[1:3])
