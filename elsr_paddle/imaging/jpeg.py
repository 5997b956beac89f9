"""Read the quantisation of a JPEG, and weaken its artefacts by it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_BLOCK = 8  # pixels along each side
# Down and right, in pixels, as the black squares of a chessboard lie: on photos these 31 are within
# 0.002 dB of all 63.
_SHIFTS = tuple((down, right) for down in range(_BLOCK) for right in range(down % 2, _BLOCK, 2)
                if (down, right) != (0, 0))
_LONGEST = 65500  # pixels along a side that libjpeg writes
# The sum of the luma table of Annex K of the JPEG standard (ITU-T T.81), which is quality 50.
_SUM_AT_50 = 3688


def luma_steps(picture: Image.Image) -> list[int] | None:
    """The quantisation steps of luma of a picture that was read from a JPEG file.

    Returns
    -------
    list of 64 int, row by row; None where the file was no JPEG.
    """
    tables = getattr(picture, "quantization", None)
    return list(tables[min(tables)]) if tables else None


def quality_of(steps: Sequence[int]) -> int:
    """The quality, 1 to 100 as libjpeg counts, whose luma table comes nearest to a file's.

    Below 20 it is told too high, since steps end at 255.

    Parameters
    ----------
    steps : sequence of 64 int, of `luma_steps`
    """
    percent = 100 * sum(steps) / _SUM_AT_50
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(max(round(quality), 1), 100)


def deblocked(image: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Bring a picture half the way to the mean of its shifted and compressed selves.

    A picture that is compressed once more as it was, but shifted against the grid of blocks, gets
    its artefacts in other places. The mean of several has few of them (Nosratinia, "Enhancement of
    JPEG-compressed images by re-application of JPEG", 2001). The colours stay as they are.

    Parameters
    ----------
    image : uint8 array, shape (H, W, 3), RGB, or (H, W), as decoded from a file of JPEG, upright as
        it lies in that file
    steps : sequence of 64 int, of `luma_steps`

    Returns
    -------
    uint8 array of the same shape
    """
    luma = np.asarray(Image.fromarray(image).convert("L"))
    if max(luma.shape) > _LONGEST - 2 * _BLOCK:
        return image
    height, width = luma.shape
    padded = np.pad(luma, _BLOCK, mode="symmetric")
    beyond = -len(_SHIFTS) * luma.astype(np.int16)  # of the sum of all over that of the picture
    for down, right in _SHIFTS:
        again = _compressed(padded[down:, right:], steps)
        top, left = _BLOCK - down, _BLOCK - right
        beyond += again[top:top + height, left:left + width]
    change = np.rint(beyond / np.float32(2 * len(_SHIFTS))).astype(np.int16)
    change = change[..., None] if image.ndim == 3 else change
    return np.clip(image + change, 0, 255).astype(np.uint8)


def _compressed(luma, steps):
    memory = io.BytesIO()
    Image.fromarray(luma).save(memory, "jpeg", qtables=[list(steps)])
    with Image.open(memory) as picture:
        return np.asarray(picture)
