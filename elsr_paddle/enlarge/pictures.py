"""Enlarge picture files, with all that belongs to them.

`imaging/io.py` reads a picture for evaluation: eight bits of RGB. Here alpha, gray, CMYK, 16 bits,
EXIF, ICC profile, resolution and animation survive. Only Pillow decodes and encodes.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from elsr_paddle.enlarge.metadata import metadata_of, turned_upright
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.saving import fitting, save, to_palette
from elsr_paddle.enlarge.sizes import compare
from elsr_paddle.enlarge.suffixes import ANIMATED
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.jpeg import deblocked, luma_steps
from elsr_paddle.imaging.resize import imresize

_REACH = 4  # LR pixels that a network looks to each side


@dataclass
class _Layers:
    """One picture as the networks take it: what is shown, and what goes with it.

    `colour` is uint8 (H, W, 3), uint8 (H, W) or uint16 (H, W); `extra` is uint8 (H, W): alpha, or
    the black of CMYK (inverted like its colours, so that 255 is no ink), or None. `mode` is
    Pillow's name for the two together.
    """

    colour: np.ndarray
    extra: np.ndarray | None
    mode: str


def upscale_picture(source, output, upscaler, *, layout=None, stop=None):
    """Enlarge a picture or an animation from file to file.

    Parameters
    ----------
    source : str or Path, any file that Pillow reads
    output : str or Path with a suffix of `FORMATS`; appears whole or not at all.
    upscaler : Upscaler
    layout : None, or "split" or "side" to put bicubic beside the result, see `compare`.
    stop : threading.Event or None; soon after it is set, the work ends with CancelledError and no
        file, even in an encoder that takes minutes.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError if it is no picture, damaged, too large or of a kind that
    cannot be enlarged, or if the output's format cannot hold it.
    """
    outcome = Outcome()
    with _opened(source) as picture:
        upscaler.plan(picture.height, picture.width)  # refuses a bomb before it is decoded
        with _decoding():
            count = getattr(picture, "n_frames", 1)
        if count > 1 and picture.format in ANIMATED.values():
            _upscale_animation(picture, count, output, upscaler, layout, outcome, stop)
        else:
            if count > 1:
                outcome.warn(f"only the first of {count} pictures in the file was taken")
            _upscale_still(picture, output, upscaler, layout, outcome, stop)
    return outcome


def upscale_image(picture, upscaler):
    """Enlarge a picture that is in memory, without its metadata.

    Parameters
    ----------
    picture : PIL.Image.Image of any mode
    upscaler : Upscaler

    Returns
    -------
    PIL.Image.Image of mode L, LA, RGB, RGBA, CMYK or I;16, the one nearest to that of `picture`
    """
    deblock = _deblocks(picture, upscaler)
    with _decoding():
        picture.load()
        layers = _split(_deblocked(picture) if deblock else picture)
    return _join(_upscale_layers(layers, upscaler, None))


@contextmanager
def _opened(path):
    """Pillow's picture, its header read."""
    try:
        picture = Image.open(path)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except Exception as error:  # as in _decoding
        raise _unreadable(error) from error
    with picture:
        yield picture


@contextmanager
def _decoding():
    """Around calls of Pillow's decoders alone: on broken bytes they raise anything."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error):
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"no picture that can be read: {reason}")


def _upscale_still(picture, output, upscaler, layout, outcome, stop):
    suffix = Path(output).suffix.lower()
    deblock = _deblocks(picture, upscaler)
    with _decoding():
        upright = _decoded(picture, deblock, outcome)
        layers = _split(upright)
    layers = _upscale_layers(layers, upscaler, layout)
    kept = metadata_of(picture, layers.colour.shape[:2], outcome, tiff=suffix in (".tif", ".tiff"))
    enlarged = fitting(_join(layers), suffix, kept, outcome)
    if suffix == ".gif":
        enlarged = to_palette(enlarged)
    save(enlarged, output, kept, outcome, stop=stop)
    outcome.width, outcome.height, outcome.frames = *enlarged.size, 1


def _deblocks(picture, upscaler):
    """Whether a picture comes from a JPEG, and goes through a network that takes it deblocked."""
    return (luma_steps(picture) is not None and picture.mode in ("L", "RGB")
            and upscaler.deblocks(picture.height, picture.width))


def _deblocked(picture):
    return Image.fromarray(deblocked(np.asarray(picture), luma_steps(picture)))


def _decoded(picture, deblock, outcome):
    """The whole picture, deblocked and upright; with the alpha that a BMP may hide."""
    deep_colour = picture.tile and "16" in str(picture.tile[0][3]) and picture.mode[:2] == "RGB"
    if deep_colour:
        outcome.warn("16 bits a channel were read as 8 (gray pictures keep their 16)")
    alpha = _spare_bytes(picture)
    picture.load()
    if deblock:  # in place, for the turn is in the metadata, and the blocks lie as before it
        picture.paste(_deblocked(picture))
    upright = turned_upright(picture)
    if alpha is not None:
        upright.putalpha(Image.fromarray(alpha))
    return upright


def _spare_bytes(picture):
    """The fourth byte of each pixel of a 32-bit BMP, uint8 (H, W), where it can only be alpha.

    The format leaves that byte open and Pillow passes it over. Many programs, Pillow among them,
    write alpha there; others always zero, or always 255.
    """
    if picture.format != "BMP" or not picture.tile or picture.tile[0][3][0] != "BGRX":
        return None
    offset, (_, stride, direction) = picture.tile[0][2:]
    picture.fp.seek(offset)
    rows = np.frombuffer(picture.fp.read(stride * picture.height), np.uint8).reshape(-1, stride)
    alpha = rows[::direction, 3:4 * picture.width:4]
    return alpha.copy() if alpha.max() > 0 and alpha.min() < 255 else None


def _split(picture):
    """Pillow's picture -> _Layers."""
    if picture.mode.startswith("I"):
        return _Layers(_sixteen_bits(picture), None, "I;16")
    picture = _plain(picture)
    array = np.asarray(picture)
    if picture.mode == "CMYK":  # inks, inverted, behave like red, green and blue
        return _Layers(255 - array[..., :3], 255 - array[..., 3], "CMYK")
    if picture.mode in ("LA", "RGBA"):
        colour, alpha = array[..., :-1], array[..., -1]
        colour = _spread_under_transparency(colour, alpha)
        return _Layers(colour[..., 0] if picture.mode == "LA" else colour, alpha, picture.mode)
    return _Layers(array, None, picture.mode)


def _sixteen_bits(picture):
    gray = np.asarray(picture)
    if gray.size and not (gray.min() >= 0 and gray.max() <= 65535):
        raise InputError(
            f"expected samples of 16 bits but they lie in {gray.min()}..{gray.max()}; "
            "convert the picture to 8 or 16 bits"
        )
    return gray.astype(np.uint16)


def _plain(picture):
    """Any other mode as one of L, LA, RGB, RGBA, CMYK."""
    if picture.mode == "F":
        raise InputError("expected 8 or 16 bits a sample but they are 32-bit floats; "
                         "convert the picture to 8 or 16 bits")
    gray = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        return picture.convert("LA" if gray else "RGBA")
    if gray or picture.mode == "CMYK":
        return picture.convert("L" if gray else "CMYK")
    try:
        return picture.convert("RGB")
    except ValueError as error:  # Pillow's word for a mode it cannot convert, such as LAB
        raise InputError(f"cannot turn mode {picture.mode} into RGB: {error}") from error


def _spread_under_transparency(colour, alpha):
    """Give wholly transparent pixels the colour of what stands near them.

    Nobody sees the colour they have, often black; but the network would smear it into the edge of
    what is seen, as a dark fringe.
    """
    hidden = alpha == 0
    if not hidden.any():
        return colour
    opacity = alpha[..., None].astype(np.uint32)
    weight = _sums_around(opacity)
    near = _sums_around(colour * opacity)
    spread = (near + weight // 2) // np.maximum(weight, 1)
    return np.where(hidden[..., None] & (weight > 0), spread, colour).astype(np.uint8)


def _sums_around(values):
    """Sums over all pixels within `_REACH`; uint32 (H, W, C), exact even where totals wrap."""
    for axis in (0, 1):
        margin = [(0, 0)] * 3
        margin[axis] = (_REACH + 1, _REACH)
        totals = np.moveaxis(np.cumsum(np.pad(values, margin), axis, dtype=np.uint32), axis, 0)
        values = np.moveaxis(totals[2 * _REACH + 1:] - totals[:-2 * _REACH - 1], 0, axis)
    return values


def _upscale_layers(layers, upscaler, layout):
    """Colours through the network; alpha by bicubic, as it is no picture; black like gray."""
    colour = upscaler.upscale(layers.colour)
    size = colour.shape[:2]
    extra = layers.extra
    if layers.mode == "CMYK":
        extra = upscaler.upscale(extra)
    elif extra is not None:
        extra = imresize(extra, size=size)
    if layout:
        colour = compare(_bicubic(layers.colour, size), colour, layout)
    if layout == "side" and extra is not None:
        extra = np.concatenate([extra, extra], axis=1)
    return _Layers(colour, extra, layers.mode)


def _bicubic(image, size):
    if image.dtype == np.uint8:
        return imresize(image, size=size)
    resized = imresize(image.astype(np.float32), size=size)
    return np.rint(resized.clip(0, 65535)).astype(np.uint16)


def _join(layers):
    """_Layers -> Pillow's picture, of the mode they came from."""
    array = layers.colour
    if layers.extra is not None:
        array = np.dstack([array, layers.extra])
    if layers.mode == "CMYK":
        # fromarray cannot tell four inks from RGBA by the shape.
        return Image.frombytes("CMYK", array.shape[1::-1], (255 - array).tobytes())
    return Image.fromarray(array)


def _upscale_animation(picture, count, output, upscaler, layout, outcome, stop):
    """Frame by frame, composed as a viewer shows them; their times and the loop are kept."""
    suffix = Path(output).suffix.lower()
    if suffix not in ANIMATED:
        raise InputError(f"it has {count} frames but {suffix} holds one; choose .gif, "
                         ".png, .webp or a video format such as .mp4")
    plan = upscaler.plan(picture.height, picture.width)
    with _decoding():
        durations, transparent = _survey(picture, count, upscaler)
    kept = metadata_of(picture, (plan.height, plan.width), outcome, tiff=suffix[:4] == ".tif")
    frames = _frames(picture, count, "RGBA" if transparent else "RGB", stop)
    frames = (_join(_upscale_layers(layers, upscaler, layout)) for layers in frames)
    if suffix == ".gif":
        frames = map(to_palette, frames)
    else:  # Pillow goes through the frames of the other formats twice
        upscaler.check_pixels(count * plan.height * plan.width)
    first = next(frames)
    save(first, output, kept, outcome, stop=stop, save_all=True,
         append_images=frames if suffix == ".gif" else list(frames),
         **_timing(picture, suffix, durations, transparent))
    outcome.width, outcome.height, outcome.frames = *first.size, count


def _survey(picture, count, upscaler):
    """How long each frame stands, in ms, and whether any of them lets the background through."""
    durations, transparent = [], False
    for number in range(count):
        picture.seek(number)
        upscaler.plan(picture.height, picture.width)  # pages of a TIFF have a size each
        picture.load()
        durations.append(picture.info.get("duration", 0))
        transparent = transparent or picture.has_transparency_data
    return durations, transparent


def _frames(picture, count, mode, stop):
    """Yield the frames as _Layers, until `stop` is set."""
    for number in range(count):
        if stop is not None and stop.is_set():
            raise CancelledError
        with _decoding():
            picture.seek(number)
            picture.load()
            layers = _split(turned_upright(picture).convert(mode))
        yield layers


def _timing(picture, suffix, durations, transparent):
    """Pillow's arguments for an animation; TIFF, whose frames are pages, takes none."""
    if suffix in (".tif", ".tiff"):
        return {}
    timing = {"duration": durations}
    if "loop" in picture.info:  # absent: played once
        timing["loop"] = picture.info["loop"]
    if suffix == ".gif" and transparent:
        timing["disposal"] = 2  # else the last frame would show through
    if suffix == ".png" and getattr(picture, "default_image", False):
        timing["default_image"] = True
    return timing
