"""Encode two clips as one, so that no player can let them get out of step."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

MIME_TYPE = "video/mp4"
_CODEC, _OPTIONS = "libx264", {"crf": "16", "preset": "veryfast"}  # nearly without loss
_BT709 = 1  # in the tables of ITU-T H.273
_LIMITED = 1  # FFmpeg's number of the studio range


class StackedClip:
    """A film whose upper half is one clip and whose lower half is another, as MP4 in memory.

    Parameters
    ----------
    frames_per_second : float

    Attributes
    ----------
    frames : int, how many there are
    """

    def __init__(self, frames_per_second: float):
        self._rate = Fraction(frames_per_second).limit_denominator(1001)
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4")
        self._stream = None
        self.frames = 0

    def add(self, above: np.ndarray, below: np.ndarray) -> None:
        """Append a frame of each: uint8 arrays (H, W, 3), RGB, all of one even size."""
        both = np.ascontiguousarray(np.concatenate([above, below]))  # (2 * H, W, 3)
        if self._stream is None:
            self._stream = self._add_stream(*both.shape[:2])
        frame = av.VideoFrame.from_ndarray(both, "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def _add_stream(self, height, width):
        stream = self._container.add_stream(_CODEC, rate=self._rate, options=_OPTIONS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        return stream

    def finish(self) -> bytes:
        """The file; nothing can be added any more."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.getvalue()
