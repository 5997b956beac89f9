"""Read picture files into uint8 RGB arrays, write them, and turn arrays into tensors and back.

The only place that knows EXIF, palettes, bit depths and the division by 255.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write, natural_key

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})

# Pillow saves at quality 75 otherwise, and halves the colour resolution: both undo what was gained.
_SAVE_OPTIONS = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
}


def read_image(path):
    """Read a picture of any kind as the 8-bit RGB image a viewer would show.

    Palette, gray, 1-bit, CMYK and YCbCr files become RGB; alpha is dropped; the EXIF orientation
    is applied; of 16 bits the upper eight are kept; of an animation the first frame is taken.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    uint8 array, shape (H, W, 3), RGB, range [0, 255]; the caller's own, writable copy.

    Raises
    ------
    InputError, which names the file, if it is missing, no picture, cut short, larger than Pillow's
    limit against decompression bombs, or of 32-bit samples (their range is anybody's guess).
    """
    with _decoding(path), Image.open(path) as picture:
        picture.load()
        picture = _upright(picture)
        if picture.mode == "F":
            raise InputError(f"expected 8 or 16 bits a sample but {path} holds 32-bit floats; "
                             "convert it to 8 or 16 bits")
        if picture.mode.startswith("I"):
            return _from_16_bit(path, np.asarray(picture))
        return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


@contextmanager
def _decoding(path):
    """Around calls of Pillow's decoders alone: on broken bytes they raise anything."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read {path} as a picture: {reason}") from error


def _upright(picture):
    """Turn a picture as its EXIF says; where that is damaged, it says nothing."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # as in _decoding
        return picture


def _from_16_bit(path, gray):
    """Gray samples of up to 16 bits -> RGB; the upper byte, as Pillow does for 16-bit RGB."""
    if gray.size and not (gray.min() >= 0 and gray.max() <= 65535):
        raise InputError(f"expected samples of 16 bits but {path} holds {gray.min()}..{gray.max()};"
                         " convert it to 8 or 16 bits")
    upper_byte = (gray.astype(np.int32) >> 8).astype(np.uint8)  # (H, W)
    return np.repeat(upper_byte[..., None], 3, axis=2)  # (H, W) -> (H, W, 3)


def is_gray_file(path):
    """Whether a file stores one gray value a pixel; such a file's Y is that value itself.

    Only the header is read. A colour file whose pixels happen to be gray counts as colour.

    Raises
    ------
    InputError, which names the file, if it is missing or no picture.
    """
    with _decoding(path), Image.open(path) as picture:
        return picture.mode in _GRAY_MODES


def write_image(path, image):
    """Write an image; the format follows the suffix, and the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path, with one of Pillow's suffixes; JPEG and WebP are saved at quality 95.
    image : uint8 array, shape (H, W, 3), RGB

    Raises
    ------
    InputError if the suffix names no format that can be written.
    """
    suffix = Path(path).suffix.lower()
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        raise InputError(f"expected the suffix of a picture, such as .png, but got {str(path)!r}")
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, **_SAVE_OPTIONS.get(suffix, {}))


def list_images(folder):
    """Picture files right inside a folder, in the order people count in.

    Returns
    -------
    list of Path; hidden files are left out. Empty when there are none.

    Raises
    ------
    InputError if `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a folder of pictures but got {folder}")
    found = [path for path in folder.iterdir()
             if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    return sorted(found, key=natural_key)


def image_to_tensor(image):
    """uint8 (H, W, 3) in [0, 255] -> float32 (1, 3, H, W) in [0, 1], contiguous."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
    planes *= np.float32(1 / 255)
    return planes


def tensor_to_image(array):
    """float32 (1, 3, H, W), nominally in [0, 1] -> uint8 (H, W, 3): clipped, then rounded."""
    levels = np.clip(array[0] * np.float32(255), 0, 255)
    return np.ascontiguousarray(np.rint(levels).astype(np.uint8).transpose(1, 2, 0))
