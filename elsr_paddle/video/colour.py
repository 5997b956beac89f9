"""Convert video frames to arrays and back: matrix, range, bit depth, orientation, interlacing.

swscale (through PyAV) converts; here it is told which matrix and range, which it must not guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import av.filter
import numpy as np
from av.video.reformatter import VideoReformatter

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.colour import turn_colours
from elsr_paddle.imaging.luma import BT601
from elsr_paddle.video.pyav import converts_full_range, primaries_and_transfer

# Numbers of ITU-T H.273, as files store them.
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 6
_FULL = 2  # AVCOL_RANGE_JPEG: black is 0 and white 255; 1 is "limited", 16 and 235
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


class _Matrix(NamedTuple):
    """A matrix of H.273: swscale's number for it, and the weights of red and blue in luma."""

    swscale: int
    red: float
    blue: float


# By the numbers of H.273, table 4. The others (YCgCo, ICtCp, constant luminance) are not linear in
# RGB, or unknown to swscale.
_MATRICES = {
    1: _Matrix(1, 0.2126, 0.0722),  # BT.709
    4: _Matrix(4, 0.30, 0.11),      # FCC
    5: _Matrix(5, BT601[0], BT601[2]),  # BT.470 BG
    6: _Matrix(5, BT601[0], BT601[2]),  # BT.601
    7: _Matrix(7, 0.212, 0.087),    # SMPTE 240M
    9: _Matrix(9, 0.2627, 0.0593),  # BT.2020, non-constant luminance
}

# H.273's "unspecified" leaves the matrix to the player, and players go by the height.
_HD_HEIGHT = 720

# swscale's flags, as numbers: PyAV names the second and third only from version 16 or 17 on.
_BICUBIC, _FULL_CHROMA, _ACCURATE, _AREA = 0x4, 0x2000, 0x40000, 0x20
_BEST = _BICUBIC | _FULL_CHROMA | _ACCURATE
# Without a change of size only chroma is resampled, by 2: as exact by area, in two thirds the time.
_FAST = _AREA


@dataclass(frozen=True)
class Colour:
    """How a stream stores colour, as numbers of ITU-T H.273.

    Attributes
    ----------
    matrix, primaries, transfer : int
    full : bool, full range
    bits : int, of a sample
    """

    matrix: int
    primaries: int
    transfer: int
    full: bool
    bits: int

    @property
    def deep(self):
        """Whether a sample has more than 8 bits."""
        return self.bits > 8

    def from_rgb(self):
        """Matrix (3, 4) from 8-bit (R, G, B, 1) to levels of (Y, Cb, Cr)."""
        _, red, blue = _MATRICES[self.matrix]
        luma = np.array([red, 1 - red - blue, blue])
        chroma_blue = (np.array([0, 0, 1]) - luma) / (2 - 2 * blue)
        chroma_red = (np.array([1, 0, 0]) - luma) / (2 - 2 * red)
        black, luma_range, chroma_range = (0, 1, 1) if self.full else (16, 219 / 255, 224 / 255)
        return np.array([[*luma_range * luma, black], [*chroma_range * chroma_blue, 128],
                         [*chroma_range * chroma_red, 128]])


def colour_of(frame, context):
    """Read the colour of a decoded frame, and of the decoder where PyAV's frames do not tell.

    What is stored as RGB becomes BT.709, limited. A matrix that the file leaves open is settled as
    players do, by the INPUT's height: the output may be HD, where they would take another.

    Raises
    ------
    InputError for a matrix that cannot be converted, or a PyAV that cannot do it.
    """
    bits = max(component.bits for component in frame.format.components)
    primaries, transfer = primaries_and_transfer(frame, context)
    if _is_rgb(frame):
        return Colour(_BT709, primaries, transfer, False, bits)
    matrix = frame.colorspace
    if matrix in (0, _UNSPECIFIED):
        matrix = _BT709 if frame.height >= _HD_HEIGHT else _BT601
    if matrix not in _MATRICES:
        raise InputError(f"its colour matrix (number {matrix} of ITU-T H.273) is not supported; "
                         "convert it to BT.709 first")
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    if full and not converts_full_range():
        raise InputError("it has the full range of levels, which PyAV before version 17 converts "
                         "wrongly; upgrade it: pip install --upgrade av")
    return Colour(matrix, primaries, transfer, full, bits)


def _is_rgb(frame):
    return frame.format.is_rgb or frame.format.has_palette


def has_alpha(frame):
    """Whether a decoded frame has a channel for transparency."""
    return any(component.is_alpha for component in frame.format.components)


class Converter:
    """Decoded frames to arrays and back, in the colour of one stream.

    A converter keeps buffers: one for each thread, and best one for each way.

    Parameters
    ----------
    colour : Colour
    """

    def __init__(self, colour):
        self._colour = colour
        self._swscale = VideoReformatter()
        self._canvas = None
        matrix = colour.from_rgb()
        inverse = np.linalg.inv(matrix[:, :3])
        self._yuv_to_rgb = np.column_stack([inverse, -inverse @ matrix[:, 3]])

    def to_rgb(self, frame):
        """Decoded frame -> RGB array, shape (H, W, 3), full range; uint16 where it is deep."""
        if self._colour.deep or _is_rgb(frame):
            rgb = self._swscale.reformat(frame, format=self._rgb_format, interpolation=_BEST,
                                         dst_color_range=_FULL, **self._source_of(frame))
            return rgb.to_ndarray()
        # Chroma at full size by swscale, which knows where it sits; the rest is one matrix, exact
        # to 0.6 levels (swscale: 1.6), and by OpenCV in a third of the time.
        planes = planes_of(self._to_yuv(frame, frame.width, frame.height, "yuv444p",
                                        _BICUBIC | _ACCURATE, **self._source_of(frame)))
        return turn_colours(planes, self._yuv_to_rgb)

    def _source_of(self, frame):
        """What swscale is to know of a decoded frame."""
        if _is_rgb(frame):
            return {"src_color_range": _FULL}
        return {"src_colorspace": _MATRICES[self._colour.matrix].swscale,
                "src_color_range": _FULL if self._colour.full else 1}

    @property
    def _rgb_format(self):
        return "rgb48le" if self._colour.deep else "rgb24"

    def from_rgb(self, image, like, width, height, pixel_format):
        """RGB array -> frame to encode, resized by bicubic if it has another size.

        Parameters
        ----------
        image : array as `to_rgb` gives it, of any size
        like : a decoded frame of the stream; where its chroma samples sit is kept.
        width, height : int, of the frame
        pixel_format : str, planar YUV, gray or RGB
        """
        canvas = self._canvas_for(image, like)
        # Rows of a plane may be padded: view them as they lie, and fill what is pixels.
        plane = canvas.planes[0]
        row = image.shape[1] * 3
        lines = np.frombuffer(plane, image.dtype).reshape(image.shape[0], -1)
        lines[:, :row] = image.reshape(image.shape[0], row)
        result = self._to_yuv(canvas, width, height, pixel_format, src_color_range=_FULL)
        if result is canvas:  # nothing to convert: it is given away
            self._canvas = None
        return result

    def _canvas_for(self, image, like):
        """An RGB frame of the image's size, used again and again.

        It is made from a decoded frame because only so it inherits the chroma siting: swscale puts
        it in the middle otherwise, and H.264's default is the left.
        """
        size = image.shape[1::-1]
        if self._canvas is None or (self._canvas.width, self._canvas.height) != size:
            self._canvas = VideoReformatter().reformat(
                like, width=size[0], height=size[1], format=self._rgb_format)
        return self._canvas

    def sits_left(self, like):
        """Whether chroma samples lie at the left pixel of their 2x2, not in the middle.

        PyAV does not tell, so a ramp is converted: its samples are those of the left pixels, or
        half a step above.
        """
        ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 2, axis=0)
        ramp = np.concatenate([ramp, 0 * ramp, 0 * ramp], axis=2)  # (2, 32, 3), red
        sample = planes_of(self.from_rgb(ramp, like, 32, 2, "yuv420p"))[2][0, 8]
        left, middle = (self._colour.from_rgb()[2] @ (red, 0, 0, 1) for red in (128, 132))
        return bool(abs(sample - left) < abs(sample - middle))

    def resized(self, frame, width, height, pixel_format):
        """Decoded frame -> frame to encode, by bicubic alone; no way through RGB for YUV."""
        # Without "accurate" within one level of it, in half the time.
        return self._to_yuv(frame, width, height, pixel_format, _BICUBIC, **self._source_of(frame))

    def _to_yuv(self, frame, width, height, pixel_format, flags=None, **source):
        if flags is None:
            flags = _FAST if (frame.width, frame.height) == (width, height) else _BEST
        full = self._colour.full or av.VideoFormat(pixel_format).is_rgb
        return self._swscale.reformat(
            frame, width=width, height=height, format=pixel_format, interpolation=flags,
            dst_colorspace=_MATRICES[self._colour.matrix].swscale,
            dst_color_range=_FULL if full else 1, **source)


def planes_of(frame):
    """The planes of a planar YUV frame as writable arrays that share its memory."""
    dtype = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    views = []
    for plane in frame.planes:
        lines = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        views.append(lines[:, :plane.width])
    return views


class Filter:
    """A chain of libavfilter between decoder and network: deinterlacing, turning.

    Parameters
    ----------
    frame : the first decoded frame
    names : list of (name, arguments) of filters
    """

    def __init__(self, frame, names):
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(width=frame.width, height=frame.height,
                                        format=frame.format, time_base=frame.time_base)
        nodes = [self._graph.add(name, arguments) for name, arguments in names]
        self._graph.link_nodes(source, *nodes, self._graph.add("buffersink")).configure()
        self._time_base = frame.time_base

    def __call__(self, frame):
        """Push a frame (None at the end) and yield those that come out, in the same time base."""
        self._graph.push(frame)
        while True:
            try:
                result = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if result.pts is not None and result.time_base != self._time_base:
                result.pts = int(result.pts * Fraction(result.time_base) / self._time_base)
                result.time_base = self._time_base
            yield result


def turn_filters(rotation):
    """Filters that turn a frame by `rotation` degrees counterclockwise."""
    turns = round(rotation / 90) % 4
    return {0: [], 1: [("transpose", "cclock")], 2: [("hflip", ""), ("vflip", "")],
            3: [("transpose", "clock")]}[turns]
