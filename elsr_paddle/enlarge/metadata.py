"""Carry over what goes with a picture: EXIF, ICC profile, resolution, XMP, comments and texts.

Whatever of it is damaged is dropped with a warning; the picture is kept.
"""

from __future__ import annotations

import re
import struct
from contextlib import contextmanager

from PIL import Image, PngImagePlugin

_PREFIX = b"Exif\0\0"
_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
# Tags that hold the size of the picture -> which of (height, width); those of TIFF and of EXIF.
_SIZES = {0x0100: 1, 0x0101: 0, 0xA002: 1, 0xA003: 0}
_SHORT, _LONG = 3, 4  # EXIF's numbers of the types: unsigned, 16 and 32 bits

# Tags of a TIFF file that describe how it is stored, not what it shows; Pillow sets them anew.
_STORAGE_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323,
                 324, 325, 330, 338, 339, 347, 530, 531, 532, 700, 34675, _ORIENTATION)
# Tags of GeoTIFF and GDAL: where on the earth the pixels lie, counted in pixels of the old size.
_GEOGRAPHIC_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

# EXIF's orientation -> how the picture is turned upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turned_upright(picture):
    """The picture as its EXIF (or XMP) says that it shall be seen.

    Parameters
    ----------
    picture : PIL.Image.Image, decoded; returned itself where they say nothing or are damaged.
    """
    turn = _turn(picture)
    return picture if turn is None else picture.transpose(turn)


def _turn(picture):
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION))
    except Exception:  # a stranger's bytes, read by Pillow: it raises anything
        return None


def metadata_of(picture, size, outcome, *, tiff):
    """What goes with a picture, as Pillow's `save` takes it.

    Parameters
    ----------
    picture : PIL.Image.Image, decoded
    size : (height, width) of the output
    outcome : Outcome, told what was damaged and dropped
    tiff : bool, whether the output is a TIFF, whose tags are its EXIF.

    Returns
    -------
    dict, the arguments `icc_profile`, `dpi`, `comment`, `xmp`, `exif`, `pnginfo`, as far as known
    """
    kept = {name: picture.info.get(name) for name in ("icc_profile", "dpi", "comment")}
    with _dropped_if_damaged("XMP", outcome):
        kept["xmp"] = _upright_xmp(picture)
    with _dropped_if_damaged("EXIF", outcome):
        kept["exif"] = _exif(picture, size, outcome, tiff)
    with _dropped_if_damaged("text", outcome):
        kept["pnginfo"] = _texts(picture)
    return {name: value for name, value in kept.items() if value}


@contextmanager
def _dropped_if_damaged(name, outcome):
    try:
        yield
    except Exception:  # as in _turn
        outcome.warn(f"its {name} was dropped: it is damaged")


def _upright_xmp(picture):
    """XMP, whose orientation would turn a picture once more that has been turned."""
    xmp = picture.info.get("xmp")
    if not xmp or _turn(picture) is None:
        return xmp
    return re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", xmp)


def _exif(picture, size, outcome, tiff):
    """EXIF as bytes; as a table of tags where a TIFF is read or written; None if there is none."""
    raw = _raw_exif(picture)
    if raw and not tiff:
        return _resized(raw, size)
    table = picture.getexif()
    if any(tag in table for tag in _GEOGRAPHIC_TAGS):
        outcome.warn("its GeoTIFF tags were dropped: they count pixels of the old size")
    for tag in _STORAGE_TAGS + _GEOGRAPHIC_TAGS:
        table.pop(tag, None)
    details = table.get_ifd(_EXIF_IFD)
    details.update({tag: size[axis] for tag, axis in _SIZES.items() if tag in details})
    return table if len(table) else None


def _raw_exif(picture):
    """The bytes of the EXIF as they stand in the file, or None."""
    raw = picture.info.get("exif")
    if raw is None and "Raw profile type exif" in picture.info:  # how ImageMagick put it in a PNG
        lines = picture.info["Raw profile type exif"].split("\n")
        raw = bytes.fromhex("".join(lines[3:]))
    return raw


def _resized(exif, size):
    """EXIF of the enlarged picture, upright: every byte in its place, also a maker's own notes.

    The size and the orientation are written over; the thumbnail, not yet upright, is unlinked.
    """
    data = bytearray(exif[len(_PREFIX):] if exif.startswith(_PREFIX) else exif)
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    (first,) = struct.unpack_from(order + "L", data, 4)
    details, end = _overwrite(data, order, first, size)
    struct.pack_into(order + "L", data, end, 0)  # where the table of the thumbnail would begin
    if details:
        _overwrite(data, order, details, size)
    return _PREFIX + bytes(data)


def _overwrite(data, order, start, size):
    """Overwrite what is no longer so in one table of EXIF's.

    Returns
    -------
    (offset of the table of details or None, offset at which this table ends)
    """
    details = None
    (count,) = struct.unpack_from(order + "H", data, start)
    end = start + 2 + 12 * count
    for entry in range(start + 2, end, 12):
        tag, _, _, value = struct.unpack_from(order + "HHLL", data, entry)
        if tag == _ORIENTATION:
            struct.pack_into(order + "HHLHH", data, entry, tag, _SHORT, 1, 1, 0)
        elif tag in _SIZES:
            struct.pack_into(order + "HHLL", data, entry, tag, _LONG, 1, size[_SIZES[tag]])
        elif tag == _EXIF_IFD:
            details = value
    return details, end


def _texts(picture):
    """The texts of a PNG; EXIF and XMP, which hide among them, go apart."""
    texts = PngImagePlugin.PngInfo()
    for name, text in getattr(picture, "text", {}).items():
        if not name.lower().startswith(("xml:", "raw profile")):
            texts.add_itxt(name, text)
    return texts if texts.chunks else None
