"""Read frames from standard input and write them to standard output: y4m, or raw frames.

FFmpeg reads and writes both; here it gets the two streams, and what PyAV cannot tell it.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av

from elsr_paddle.errors import InputError

Y4M, RAW = "yuv4mpegpipe", "rawvideo"  # FFmpeg's names of the formats; the second is a codec too
FRAMES_ALONE = (Y4M, RAW)  # formats without sound, times or tags

# Samples of colour for 4x2 pixels, across and down -> pixel format.
_BY_CHROMA = {(2, 1): "yuv420p", (2, 2): "yuv422p"}  # the others: yuv444p
_DEEP = "10le"  # ten bits a sample, the lower byte first
PACKED = ("rgb24", "bgr24")

_BUFFER = 2**20  # bytes asked for at a time; a pipe gives 64 KB at most
_PATIENCE = 0.1  # seconds between two looks at whether the frames are still wanted
_CAN_WAIT = os.name != "nt"  # Windows waits for sockets alone
# Neither a wait for more frames to guess the rate by (y4m states it), nor frames that lie ready.
_AT_ONCE = {"fpsprobesize": "0"}
_FLUSHED = {"flush_packets": "1", "strict": "-1"}  # ten bits are no official y4m, yet all read it


@dataclass(frozen=True)
class RawFrames:
    """What raw frames on standard input are: nothing in them tells.

    Attributes
    ----------
    size : (width, height) in pixels
    pixel_format : str, FFmpeg's name
    rate : Fraction, frames a second
    """

    size: tuple[int, int]
    pixel_format: str
    rate: Fraction = Fraction(25)

    def options(self):
        """What FFmpeg's demuxer of raw frames is to know."""
        return {"video_size": "{}x{}".format(*self.size), "pixel_format": self.pixel_format,
                "framerate": str(self.rate)}


class Stdin:
    """Standard input as PyAV reads from it.

    Parameters
    ----------
    raw : RawFrames, or None for y4m and whatever else FFmpeg recognizes without going back in it

    Attributes
    ----------
    bytes : int, read so far: FFmpeg passes over a frame that is cut short without a word.
    left : bool, set it to end a read that waits for a source which sends nothing

    Raises
    ------
    InputError if it is a terminal.
    """

    name = "standard input"

    def __init__(self, raw=None):
        self._file, self._raw = _unbuffered(sys.stdin, "rb"), raw
        self.bytes, self.left = 0, False

    def open(self):
        """PyAV's container of it; av.FFmpegError where it holds no video."""
        if self._raw:
            return av.open(self, format=RAW, options=self._raw.options(), buffer_size=_BUFFER)
        return av.open(self, options=_AT_ONCE, buffer_size=_BUFFER)

    def read(self, size):
        """The next bytes, as soon as there are any; none after the end."""
        while _CAN_WAIT and not select.select([self._file], [], [], _PATIENCE)[0]:
            if self.left:
                return b""
        data = self._file.read(size)
        self.bytes += len(data)
        return data


class _Output:
    """Standard output as PyAV writes to it.

    `ratio` is the pixels' shape, written into y4m's header: FFmpeg's muxer takes it from the
    stream, where PyAV cannot set it. `error` is the OSError that a write met.
    """

    name = "standard output"

    def __init__(self, file, ratio):
        self._file, self._ratio, self.error = file, ratio, None

    def write(self, data):
        rest = memoryview(self._with_ratio(data))
        try:
            while rest:
                rest = rest[self._file.write(rest):]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def _with_ratio(self, data):
        ratio, self._ratio = self._ratio, None
        if not ratio:
            return data
        own = f" A{ratio.numerator}:{ratio.denominator} ".encode()
        return bytes(data).replace(b" A0:0 ", own, 1)


def _unbuffered(stream, mode):
    """A file on the descriptor of sys.stdin or sys.stdout, which stays open after it."""
    name = "input" if mode == "rb" else "output"
    try:
        if not stream.isatty():
            return open(stream.fileno(), mode, buffering=0, closefd=False)
    except (AttributeError, io.UnsupportedOperation) as error:
        raise InputError(f"there is no standard {name}; give a file instead of -") from error
    raise InputError(f"expected a pipe but standard {name} is a terminal; for example: "
                     "ffmpeg -i film.mp4 -f yuv4mpegpipe - | elsr - -o - | ffplay -")


@contextmanager
def open_stdout(kind, ratio):
    """Open standard output as PyAV's container, for the length of the block.

    Parameters
    ----------
    kind : str of `FRAMES_ALONE`
    ratio : Fraction, the shape of a pixel, or None

    Raises
    ------
    InputError if it is a terminal; BrokenPipeError if nobody reads any more; OSError.
    """
    file = _Output(_unbuffered(sys.stdout, "wb"), ratio if kind == Y4M else None)
    try:
        with av.open(file, "w", format=kind, options=_FLUSHED) as container:
            yield container
    except av.FFmpegError as error:  # closing after a failed write, it tells of its callback alone
        raise file.error or InputError(f"writing failed: {error.strerror}") from error


def nearest_format(name):
    """The pixel format for frames that go out: chroma as it came, in 8 or 10 bits.

    Parameters
    ----------
    name : str, FFmpeg's name of the pixel format that came in

    Returns
    -------
    str, planar
    """
    found = av.VideoFormat(name)
    deep = _DEEP if max(component.bits for component in found.components) > 8 else ""
    if found.is_rgb or found.has_palette:
        return f"yuv444p{deep}"
    if len([component for component in found.components if not component.is_alpha]) == 1:
        return f"gray{deep}"
    return _BY_CHROMA.get((found.chroma_width(4), found.chroma_height(2)), "yuv444p") + deep


class EvenTimes:
    """Number frames for formats that know no times, and tell if those of the source are uneven.

    Parameters
    ----------
    rate : Fraction, frames a second
    outcome : Outcome
    """

    def __init__(self, rate, outcome):
        self._rate, self._outcome = Fraction(rate), outcome
        self._first, self._count = None, 0

    def stamp(self, frame):
        """Give the next frame its number as its time."""
        time = frame.pts * Fraction(frame.time_base)
        self._first = time if self._first is None else self._first
        if abs((time - self._first) * self._rate - self._count) > 1:
            self._outcome.warn(f"its frames come at uneven times, but go out at {self._rate} a "
                               "second: make them even first, as by `ffmpeg -vf fps`, or sound "
                               "will not fit")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._count += 1
