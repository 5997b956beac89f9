"""Send a clip through a video encoder and back, in memory: what compression leaves of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from elsr_paddle.video.colour import Colour, Converter

_BT601, _UNSPECIFIED = 6, 2  # of ITU-T H.273
# Pixels along each side. In smaller pictures x265 reads and writes past its memory: those 40 or 48
# wide crash it, and those 64 wide become other bits now and then.
_LEAST = 128
_RATE = 25  # frames a second, which encoders at constant quality hardly heed
# One thread each, so that equal input gives equal bits; x265 would else write to standard error.
_QUIET = {"libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"}}


@dataclass(frozen=True)
class Film:
    """A film of constant quality between camera and reader.

    Attributes
    ----------
    codec : str, FFmpeg's name of an encoder with CRF, such as libx264 or libx265
    crf : int, higher is smaller and worse
    preset : str, of the encoder
    """

    codec: str
    crf: int
    preset: str = "medium"

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """uint8 (T, H, W, 3), RGB -> the same, as decoded from 4:2:0, BT.601, limited range."""
        height, width = clip.shape[1:3]
        more = (max(length + length % 2, _LEAST) - length for length in (height, width))
        padded = np.pad(clip, ((0, 0), *((0, added) for added in more), (0, 0)), mode="edge")
        decoder = av.CodecContext.create(_DECODERS[self.codec], "r")
        decoder.thread_count = 1
        frames = [frame for packet in [*self._packets(padded), None]
                  for frame in decoder.decode(packet)]
        convert = Converter(Colour(_BT601, _UNSPECIFIED, _UNSPECIFIED, False, 8)).to_rgb
        return np.stack([convert(frame)[:height, :width] for frame in frames])

    def _packets(self, clip):
        encoder = av.CodecContext.create(self.codec, "w")
        encoder.height, encoder.width, encoder.pix_fmt = *clip.shape[1:3], "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, _RATE), Fraction(_RATE)
        encoder.thread_count = 1
        encoder.options = {"crf": str(self.crf), "preset": self.preset,
                           **_QUIET.get(self.codec, {})}
        packets = []
        for number, image in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601")
            frame.pts, frame.time_base = number, encoder.time_base
            packets += encoder.encode(frame)
        return [*packets, *encoder.encode(None)]


_DECODERS = {"libx264": "h264", "libx265": "hevc"}
