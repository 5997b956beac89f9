"""Picture files to larger picture files, with all that belongs to them.

`images.py` reads a picture for evaluation: eight bits of RGB. Here alpha, gray, CMYK, 16 bits,
EXIF, ICC profile, resolution and animation survive. Only Pillow decodes and encodes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from elsr_paddle.enlarge.sizes import compare
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.imaging.resize import imresize

# What each format can hold, best first, and how it is saved. Pillow's own defaults (JPEG and WebP
# at quality 75, half the colour resolution) would undo what was gained.
_GRAY_TO_COLOUR = ("L", "LA", "RGB", "RGBA")
_JPEG = {"quality": 95, "subsampling": 0}
FORMATS = {
    ".png": ((*_GRAY_TO_COLOUR, "I;16"), {}),
    ".jpg": (("L", "RGB", "CMYK"), _JPEG),
    ".jpeg": (("L", "RGB", "CMYK"), _JPEG),
    ".webp": (("RGB", "RGBA"), {"quality": 95}),
    ".avif": (("RGB", "RGBA"), {"quality": 90, "subsampling": "4:4:4"}),
    ".tif": ((*_GRAY_TO_COLOUR, "CMYK", "I;16"), {"compression": "tiff_deflate"}),
    ".tiff": ((*_GRAY_TO_COLOUR, "CMYK", "I;16"), {"compression": "tiff_deflate"}),
    ".bmp": (("L", "RGB", "RGBA"), {}),
    ".gif": (("RGB", "RGBA"), {}),
    ".jp2": (_GRAY_TO_COLOUR, {}),
    ".tga": (_GRAY_TO_COLOUR, {}),
    ".ppm": (("RGB",), {}),
    ".pgm": (("L", "I;16"), {}),
}
READABLE = frozenset(FORMATS) | {
    ".apng", ".dds", ".dib", ".ico", ".icns", ".jfif", ".jpe", ".pbm", ".pcx", ".pnm", ".psd",
    ".sgi", ".xbm",
}
ANIMATED = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF",
            ".tiff": "TIFF"}

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_WIDTH, _HEIGHT = 0xA002, 0xA003  # PixelXDimension, PixelYDimension
# Tags of a TIFF file that describe how it is stored, not what it shows; Pillow sets them anew.
_STORAGE_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323,
                 324, 325, 330, 338, 339, 347, 530, 531, 532, 700, 34675, _ORIENTATION)

_REACH = 4  # LR pixels that a network looks to each side
_GIF_COLOURS = 255  # and one for "transparent"


@dataclass
class Outcome:
    """What became of one input.

    Attributes
    ----------
    width, height : int, pixels of the output
    frames : int, 1 for a still picture
    warnings : list of str, what could not be kept
    missing : str, how much of a film could not be read; empty for a stray packet at most.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    warnings: list[str] = field(default_factory=list)
    missing: str = ""

    def warn(self, text):
        """Note what could not be kept, once."""
        if text not in self.warnings:
            self.warnings.append(text)


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


def upscale_picture(source, output, upscaler, *, layout=None):
    """Enlarge a picture or an animation from file to file.

    Parameters
    ----------
    source : str or Path, any file that Pillow reads
    output : str or Path with a suffix of `FORMATS`; appears whole or not at all.
    upscaler : Upscaler
    layout : None, or "split" or "side" to put bicubic beside the result, see `compare`.

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
        count = getattr(picture, "n_frames", 1)
        if count > 1 and picture.format in ANIMATED.values():
            _upscale_animation(picture, count, output, upscaler, layout, outcome)
        else:
            if count > 1:
                outcome.warn(f"only the first of {count} pictures in the file was taken")
            _upscale_still(picture, output, upscaler, layout, outcome)
    return outcome


@contextmanager
def _opened(path):
    """Pillow's picture, its header read."""
    try:
        picture = Image.open(path)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except Exception as error:  # decoders raise anything on broken bytes; only Pillow runs here
        raise _unreadable(error) from error
    with picture:
        yield picture


def _unreadable(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"no picture that can be read: {text}")


def _decoded(picture, number=None):
    """Decode the picture, or its frame of that number, whole."""
    try:
        if number is not None:
            picture.seek(number)
        picture.load()
    except Exception as error:  # as in _opened
        raise _unreadable(error) from error
    return picture


def _upscale_still(picture, output, upscaler, layout, outcome):
    deep_colour = picture.tile and "16" in str(picture.tile[0][3]) and picture.mode[:2] == "RGB"
    if deep_colour:
        outcome.warn("16 bits a channel were read as 8 (gray pictures keep their 16)")
    upright = ImageOps.exif_transpose(_decoded(picture))
    layers = _upscale_layers(_split(upright), upscaler, layout)
    kept = {**_texts(picture), **_metadata(upright, layers.colour.shape[:2])}
    enlarged = _fitting(_join(layers), output, kept, outcome)
    if Path(output).suffix.lower() == ".gif":
        enlarged = _to_palette(enlarged)
    _save(enlarged, output, kept)
    outcome.width, outcome.height, outcome.frames = *enlarged.size, 1


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
        return _Layers(_spread_under_transparency(colour, alpha).squeeze(), alpha, picture.mode)
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
    box = (2 * _REACH + 1, 2 * _REACH + 1)
    opacity = np.float32(alpha)[..., None]
    near = cv2.blur(colour * opacity, box).reshape(colour.shape)
    weight = cv2.blur(opacity, box)[..., None]
    spread = np.rint(near / np.maximum(weight, 1e-6)).astype(np.uint8)
    return np.where(hidden[..., None] & (weight > 0), spread, colour)


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


def _metadata(picture, size):
    """ICC profile, resolution, EXIF, XMP and comments of a picture, as `save` takes them."""
    names = ("icc_profile", "dpi", "xmp", "comment")
    kept = {name: picture.info[name] for name in names if picture.info.get(name)}
    exif = picture.getexif()
    for tag in _STORAGE_TAGS:
        exif.pop(tag, None)
    details = exif.get_ifd(_EXIF_IFD)
    details.update({tag: length for tag, length in ((_HEIGHT, size[0]), (_WIDTH, size[1]))
                    if tag in details})
    if len(exif):
        kept["exif"] = exif
    return kept


def _texts(picture):
    """The texts of a PNG, as `save` takes them; EXIF and XMP, which hide among them, go apart."""
    texts = PngImagePlugin.PngInfo()
    for name, text in getattr(picture, "text", {}).items():
        if not name.lower().startswith(("xml:", "raw profile")):
            texts.add_itxt(name, text)
    return {"pnginfo": texts} if texts.chunks else {}


def _fitting(picture, output, kept, outcome):
    """Convert to the nearest mode that the output's format can hold; say what that costs."""
    modes = FORMATS[Path(output).suffix.lower()][0]
    if picture.mode in modes:
        return picture
    if picture.mode == "CMYK":
        outcome.warn("CMYK became RGB: the output's format has no CMYK")
        return _cmyk_to_rgb(picture, kept)
    if picture.mode == "I;16":
        outcome.warn("16 bits became 8: the output's format has no more")
        gray = (np.asarray(picture, np.uint32) + 128) // 257
        return _fitting(Image.fromarray(gray.astype(np.uint8)), output, kept, outcome)
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
        inks = ImageCms.ImageCmsProfile(ImageCms.io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, inks, screen, outputMode="RGB")
    except ImageCms.PyCMSError:
        return picture.convert("RGB")


def _save(picture, output, kept, **animation):
    """Write whole or not at all; Pillow's complaints become ours."""
    suffix = Path(output).suffix.lower()
    try:
        with atomic_write(output) as temporary:
            picture.save(temporary, **{**FORMATS[suffix][1], **kept, **animation})
    except (ValueError, TypeError, OverflowError) as error:  # of Pillow: size, mode, metadata
        raise InputError(f"cannot write {output}: {error}") from error


def _upscale_animation(picture, count, output, upscaler, layout, outcome):
    """Frame by frame, composed as a viewer shows them; their times and the loop are kept."""
    suffix = Path(output).suffix.lower()
    if suffix not in ANIMATED:
        raise InputError(f"it has {count} frames but {suffix} holds one; choose .gif, "
                         ".png, .webp or a video format such as .mp4")
    plan = upscaler.plan(picture.height, picture.width)
    durations, transparent = _survey(picture, count)
    kept = _metadata(picture, (plan.height, plan.width))
    frames = _enlarged_frames(picture, count, "RGBA" if transparent else "RGB", upscaler, layout)
    if suffix == ".gif":
        frames = map(_to_palette, frames)
    else:  # Pillow goes through the frames of the other formats twice
        upscaler.check_pixels(count * plan.height * plan.width)
    first = next(frames)
    _save(first, output, kept, save_all=True,
          append_images=frames if suffix == ".gif" else list(frames),
          **_timing(picture, suffix, durations, transparent))
    outcome.width, outcome.height, outcome.frames = *first.size, count


def _survey(picture, count):
    """How long each frame stands, in ms, and whether any of them lets the background through."""
    durations, transparent = [], False
    for number in range(count):
        _decoded(picture, number)
        durations.append(picture.info.get("duration", 0))
        transparent = transparent or picture.has_transparency_data
    return durations, transparent


def _enlarged_frames(picture, count, mode, upscaler, layout):
    for number in range(count):
        frame = ImageOps.exif_transpose(_decoded(picture, number)).convert(mode)
        yield _join(_upscale_layers(_split(frame), upscaler, layout))


def _to_palette(frame):
    """Colours of a GIF frame: octree, twenty times faster than Pillow's default and as good."""
    palette = frame.convert("RGB").quantize(_GIF_COLOURS, Image.Quantize.FASTOCTREE)
    if frame.mode == "RGBA":
        hidden = np.asarray(frame)[..., 3] < 128
        colours = palette.getpalette()
        palette = Image.fromarray(np.where(hidden, _GIF_COLOURS, palette).astype(np.uint8))
        palette.putpalette([*colours, *[0] * (768 - len(colours))])
        palette.info["transparency"] = _GIF_COLOURS
    return palette


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
