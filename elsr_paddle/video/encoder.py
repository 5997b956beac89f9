"""Choose the options of a video encoder: each is one that the encoder has, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.video.pyav import option_names

_CRF = 20  # where nothing is asked for
_CODECS = {"webm": "libvpx-vp9"}  # the others: libx264
_PRESETS = {"libx264": "veryfast", "libx265": "veryfast", "libsvtav1": "10"}
# What goes with the quality. VP9 heeds it only where no bit rate is set, VP8 only below one, and
# VP9 has no presets.
_EXTRA = {"libvpx-vp9": {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
          "libvpx": {"b": "100M"}}
_QUANTISERS = (1, 31)  # of MPEG-1 to MPEG-4, the finest and the coarsest


@dataclass(frozen=True)
class VideoOptions:
    """How a video is encoded.

    Attributes
    ----------
    codec : str, FFmpeg's name of an encoder; None: libx264, or libvpx-vp9 for WebM.
    crf : int, constant quality: lower is better and larger; None: 20, where the encoder has one.
    preset : str, of the encoder; None: a fast one, `veryfast` for libx264.
    layout : None, or "split" or "side" to put bicubic beside the result, see `compare`.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    layout: str | None = None

    def codec_for(self, container):
        """FFmpeg's name of the encoder for a container, by FFmpeg's name."""
        return self.codec or _CODECS.get(container, "libx264")


def pixel_formats(codec):
    """Names of the pixel formats that an encoder takes; empty where any will do.

    Raises
    ------
    InputError if it is no encoder for video.
    """
    try:
        encoder = av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        encoder = None
    if encoder is None or encoder.type != "video":
        raise InputError("expected a video encoder of FFmpeg, such as libx264, libx265 or "
                         f"libsvtav1, but got {codec!r}")
    return {known.name for known in encoder.video_formats or ()}


def encoder_options(codec, pixel_format, options):
    """The encoder's own options, by FFmpeg's names.

    Parameters
    ----------
    codec, pixel_format : str, FFmpeg's names
    options : VideoOptions

    Returns
    -------
    dict of str to str

    Raises
    ------
    InputError if a quality or a preset is asked for and the encoder has none.
    """
    names = option_names(codec)
    quality = _quality(codec, pixel_format, names, _CRF if options.crf is None else options.crf)
    if options.crf is not None and not quality:
        raise InputError(f"{codec} has no constant quality that --crf could set; leave --crf out, "
                         "or choose another --codec")
    preset = options.preset or _PRESETS.get(codec)
    if preset and "preset" not in names:
        raise InputError(f"{codec} has no presets; leave --preset out, or choose another --codec")
    return {**quality, **_EXTRA.get(codec, {}), **({"preset": str(preset)} if preset else {})}


def _quality(codec, pixel_format, names, crf):
    """The options that set constant quality; none where the encoder has no such thing."""
    if "crf" in names:
        return {"crf": str(crf)}
    if "cq" in names:  # of NVENC, on the same scale, heeded without a bit rate alone
        return {"rc": "vbr", "cq": str(crf), "b": "0"}
    if _heeds_quantiser(codec, pixel_format):
        return _quantiser(_from_crf(crf))
    return {}


def _from_crf(crf):
    """The quantiser of MPEG-4 whose step, twice its number, is that of H.264 at this CRF."""
    return min(max(round(0.3125 * 2 ** (crf / 6)), _QUANTISERS[0]), _QUANTISERS[1])


def _quantiser(number):
    return {"qmin": str(number), "qmax": str(number)}


def encoder_clock(codec, pixel_format, stream):
    """Time base of the frames to encode.

    Parameters
    ----------
    codec, pixel_format : str, FFmpeg's names
    stream : av.VideoStream, the source

    Returns
    -------
    Fraction, seconds: that of the source, so that every time stays; one frame for encoders that
    refuse it, as MPEG-2 and MPEG-4 do, which count frames.
    """
    length = 1 / Fraction(stream.average_rate or 25)
    free = option_names(codec) & {"crf", "cq"}
    if free or _trial_size(codec, pixel_format, {}, (stream.time_base, length)):
        return stream.time_base
    return length


def _heeds_quantiser(codec, pixel_format):
    """Whether a coarse quantiser makes a frame smaller: tried out, as every encoder takes it."""
    fine, coarse = (_trial_size(codec, pixel_format, _quantiser(number)) for number in _QUANTISERS)
    return fine > 2 * coarse > 0


def _trial_size(codec, pixel_format, options, clock=(Fraction(1, 25), Fraction(1, 25))):
    """Bytes of a frame of noise; 0 where the encoder does not start.

    `clock` is the time base and the length of a frame, in seconds.
    """
    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=pixel_format)
    context = av.CodecContext.create(codec, "w")
    context.height, context.width, context.pix_fmt = *noise.shape[:2], pixel_format
    context.options, context.time_base, context.framerate = options, clock[0], 1 / clock[1]
    frame.pts, frame.time_base = 0, context.time_base
    try:
        return sum(packet.size for packet in [*context.encode(frame), *context.encode(None)])
    except av.FFmpegError:
        return 0
