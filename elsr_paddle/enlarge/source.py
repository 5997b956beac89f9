"""Tell from a file what its picture or film went through: compression, aliasing, or neither."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE
from elsr_paddle.imaging.aliasing import LOOKED_AT, aliasing
from elsr_paddle.imaging.jpeg import luma_steps, quality_of

# The quality of JPEG from which the networks for compressed sources restore more than those for
# JPEGs, and that from which the networks for clean sources do (docs/real-sources.md).
FAIR_QUALITY, CLEAN_QUALITY = 65, 92
# The same for films of 640x480, in bits a pixel by codec; FFmpeg's names of decoders.
CLEAN_BITS = {"h264": 0.18, "hevc": 0.11, "vp9": 0.11, "av1": 0.09, "libdav1d": 0.09,
              "libaom-av1": 0.09, "vp8": 0.3, "mpeg4": 0.4,
              "mpeg2video": 0.5, "mpeg1video": 0.6, "mjpeg": 1.5, "prores": 0.3, "dnxhd": 0.3}
LOSSLESS = frozenset({"apng", "bmp", "ffv1", "ffvhuff", "gif", "huffyuv", "magicyuv",
                      "png", "qtrle", "rawvideo", "tiff", "utvideo", "v210", "v410"})
_USUAL_PIXELS = 640 * 480
_OTHER_CODECS = 0.4  # bits a pixel from which a film of another codec counts as clean

# Pillow's modes whose pixels are looked at. A palette may be dithered, which looks like aliasing.
_PLAIN = frozenset({"L", "LA", "RGB", "RGBA"})
_LOOKED_AT_FRAMES = range(0, 24, 6)  # of a film
_NO_FILTER = "its pixels look as if it was shrunk without a filter"


class Source(NamedTuple):
    """What a file is.

    Attributes
    ----------
    kind : str, a key of `zoo.SOURCES`
    reason : str, by what that was told
    """

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def source_of(path: str | Path, video: bool) -> Source:
    """What a picture or film went through.

    Compression is told by the header of its file. Where that shows none, aliasing is told by the
    pixels in the middle, of a film in some of its first frames.

    Parameters
    ----------
    path : str or Path; - for frames from standard input, which tell nothing
    video : bool
    """
    if Path(path) == PIPE:
        return Source("clean", "frames of a pipe, which do not tell")
    return _of_film(path) if video else _of_picture(path)


def _of_picture(path):
    """Whoever reads a damaged picture says what is wrong with it."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            found = _by_header(picture, path)
            return _by_pixels(found, [_middle_luma(picture)]) if found.kind == "clean" else found
    except Exception:  # decoders raise anything on broken bytes
        return Source("clean", "a picture that does not tell")


def _by_header(picture, path):
    kind, steps = picture.format or "", luma_steps(picture)
    if steps:
        quality = quality_of(steps)
        compressed = "jpeg" if quality < FAIR_QUALITY else "compressed"
        return Source("clean" if quality >= CLEAN_QUALITY else compressed,
                      f"JPEG of quality {quality}")
    if kind == "WEBP" and b"VP8L" not in Path(path).read_bytes()[:4096]:
        return Source("compressed", "lossy WebP")
    if kind in ("AVIF", "HEIF"):
        return Source("compressed", kind)
    return Source("clean", f"{kind or 'a picture'}, without lossy compression")


def _middle_luma(picture):
    """Luma of the middle of a picture, uint8 (h, w); empty where nothing can be told from it."""
    if picture.mode not in _PLAIN:
        return np.empty((0, 0), np.uint8)
    left, top = (max(0, (length - LOOKED_AT) // 2) for length in picture.size)
    box = left, top, *map(min, picture.size, (left + LOOKED_AT, top + LOOKED_AT))
    return np.asarray(picture.crop(box).convert("L"))


def _by_pixels(found, lumas):
    """A source that is clean by its header, unless most of its pictures look aliased."""
    aliased = lumas and median(map(aliasing, lumas)) > 0
    return Source("aliased", f"{found.reason}; {_NO_FILTER}") if aliased else found


def _of_film(path):
    import av

    from elsr_paddle.video.pyav import open_input
    from elsr_paddle.video.read import main_stream

    try:
        with open_input(path) as container:
            stream = main_stream(container)
            found = _by_bits(container, stream, path)
            return _by_pixels(found, _lumas(container, stream)) if found.kind == "clean" else found
    except (av.FFmpegError, FileNotFoundError, InputError):
        return Source("clean", "a film that does not tell")


def _by_bits(container, stream, path):
    codec, pixels = stream.codec_context.name, stream.width * stream.height
    bits = _bits_a_pixel(container, stream, path)
    if codec in LOSSLESS:
        return Source("clean", f"{codec}, without loss")
    if bits is None:
        return Source("compressed", f"{codec}, of unknown bit rate")
    # For equal quality a smaller film takes more: 16 times fewer pixels, twice the bits of each.
    least = CLEAN_BITS.get(codec, _OTHER_CODECS) * (_USUAL_PIXELS / pixels) ** 0.25
    return Source("clean" if bits >= least else "compressed", f"{codec}, {bits:.2f} bits a pixel")


def _lumas(container, stream):
    """Luma of some frames: uint8 (H, W) each. Interlaced ones have stairs of their own."""
    frames = islice(container.decode(stream), _LOOKED_AT_FRAMES.stop)
    return [frame.to_ndarray(format="gray") for number, frame in enumerate(frames)
            if number in _LOOKED_AT_FRAMES and not frame.interlaced_frame]


def _bits_a_pixel(container, stream, path):
    """Of the film's stream, or of the whole file where that does not tell; None: unknown."""
    rate = stream.bit_rate or container.bit_rate
    if not rate and container.duration:
        rate = 8 * Path(path).stat().st_size * 1_000_000 / container.duration
    frames = stream.average_rate
    pixels = stream.width * stream.height
    return float(rate / (frames * pixels)) if rate and frames and pixels else None
