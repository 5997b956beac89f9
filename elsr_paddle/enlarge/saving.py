"""Write pictures: what each format can hold, how it is saved, and how a slow encoder is left."""

from __future__ import annotations

import io
import struct
import threading
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from elsr_paddle.enlarge.suffixes import FORMATS
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write

_GIF_COLOURS = 255  # and one for "transparent"
_NAMES = {"exif": "EXIF", "icc_profile": "ICC profile", "dpi": "resolution", "xmp": "XMP",
          "comment": "comment", "pnginfo": "text"}
_PATIENCE = 0.1  # seconds between two looks at whether the encoder is still waited for


def fitting(picture, suffix, kept, outcome):
    """Convert a picture to the nearest mode that a format can hold; say what that costs.

    Parameters
    ----------
    picture : PIL.Image.Image of mode L, LA, RGB, RGBA, CMYK or I;16
    suffix : str, a key of `FORMATS`
    kept : dict of metadata; loses the profile of inks that became RGB.
    outcome : Outcome, told what the format cannot hold
    """
    modes = FORMATS[suffix][0]
    if picture.mode in modes:
        return picture
    if picture.mode == "CMYK":
        outcome.warn("CMYK became RGB: the output's format has no CMYK")
        return _cmyk_to_rgb(picture, kept)
    if picture.mode == "I;16":
        outcome.warn("16 bits became 8: the output's format has no more")
        gray = (np.asarray(picture, np.uint32) + 128) // 257
        return fitting(Image.fromarray(gray.astype(np.uint8)), suffix, kept, outcome)
    alpha = picture.mode in ("LA", "RGBA")
    if alpha and "RGBA" not in modes:
        outcome.warn("transparency was laid on white: the output's format has none")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        return white.convert("RGB" if "RGB" in modes else "L")
    if picture.mode != "L" and modes[0] == "L" and "RGB" not in modes:
        outcome.warn("colour became gray: the output's format has none")
        return picture.convert("L")
    return picture.convert("RGBA" if alpha else "RGB")


def _cmyk_to_rgb(picture, kept):
    """By the inks' own profile if the file has one, which then no longer applies."""
    profile = kept.pop("icc_profile", None)
    if profile is None:
        return picture.convert("RGB")
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, inks, screen, outputMode="RGB")
    except Exception:  # a stranger's profile, read by a library that raises more than it says
        return picture.convert("RGB")


def to_palette(frame):
    """Colours of a GIF frame: octree, twenty times faster than Pillow's default and as good."""
    palette = frame.convert("RGB").quantize(_GIF_COLOURS, Image.Quantize.FASTOCTREE)
    if frame.mode == "RGBA":
        hidden = np.asarray(frame)[..., 3] < 128
        colours = palette.getpalette()
        palette = Image.fromarray(np.where(hidden, _GIF_COLOURS, palette).astype(np.uint8))
        palette.putpalette([*colours, *[0] * (768 - len(colours))])
        palette.info["transparency"] = _GIF_COLOURS
    return palette


def save(picture, output, kept, outcome, *, stop=None, **animation):
    """Write a picture whole or not at all.

    Parameters
    ----------
    picture : PIL.Image.Image, of a mode that the format holds
    output : str or Path with a suffix of `FORMATS`
    kept : dict of metadata; those that the format's encoder refuses are dropped with a warning.
    outcome : Outcome
    stop : threading.Event or None; once it is set, the encoder is left behind, with no file.
    animation : further arguments of Pillow's `save`

    Raises
    ------
    InputError if the format cannot hold the picture, OSError if the file cannot be written,
    CancelledError once `stop` is set.
    """
    suffix = Path(output).suffix.lower()
    if Image.registered_extensions().get(suffix) not in Image.SAVE:  # AVIF before Pillow 11.3
        raise InputError(f"this Pillow cannot write {suffix}; upgrade it: `pip install -U pillow`")
    options = {**FORMATS[suffix][1], **_accepted(kept, picture.mode, suffix, outcome), **animation}
    try:
        encoded = left_when(stop, lambda: _encoded(picture, suffix, options))
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, struct.error) as error:  # Pillow's: size, mode
        raise InputError(f"cannot write {output}: {error}") from error
    with atomic_write(output) as temporary:
        temporary.write_bytes(encoded)


def _encoded(picture, suffix, options):
    """The bytes of the file: in memory, so that an encoder that is left behind holds no file."""
    buffer = io.BytesIO()
    picture.save(buffer, Image.registered_extensions()[suffix], **options)
    return buffer.getbuffer()


def _accepted(kept, mode, suffix, outcome):
    """The metadata that the format's encoder takes: each is tried on a picture of one pixel."""
    accepted = {}
    for name, value in kept.items():
        try:
            _encoded(Image.new(mode, (1, 1)), suffix, {**FORMATS[suffix][1], name: value})
        except Exception as error:  # a stranger's bytes: Pillow raises anything
            outcome.warn(f"its {_NAMES[name]} was dropped: {' '.join(str(error).split())}")
        else:
            accepted[name] = value
    return accepted


def left_when(stop, function):
    """Call a function that may take minutes; leave it behind once `stop` is set.

    An encoder is one call of a library that no signal ends. It runs in a thread of its own, which
    does not keep the process alive.

    Parameters
    ----------
    stop : threading.Event or None: it cannot be stopped but by an exception in the main thread.
    function : callable without arguments

    Raises
    ------
    CancelledError once `stop` is set; else what `function` raises.
    """
    future = Future()
    threading.Thread(target=_settle, args=(future, function), daemon=True).start()
    while not wait([future], timeout=_PATIENCE).done:
        if stop is not None and stop.is_set():
            raise CancelledError
    return future.result()


def _settle(future, function):
    try:
        future.set_result(function())
    except BaseException as error:  # handed to the thread that waits, and raised there
        future.set_exception(error)
