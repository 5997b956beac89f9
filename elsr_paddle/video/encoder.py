"""Choose the options of a video encoder: each is one that the encoder has, or it is refused."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.threads import ordinary
from elsr_paddle.video.pipes import RAW, Y4M, RawFrames
from elsr_paddle.video.pyav import option_names
from elsr_paddle.video.read import rate_of

_CRF = 20  # where nothing is asked for
_CODECS = {"webm": "libvpx-vp9", Y4M: RAW, RAW: RAW}  # the others: libx264
_TRIAL_SIZE = (96, 160)  # height and width of frames that encoders are tried on
_JOINED = 4  # frames of each part where it is tried whether they can be joined
_LAMBDA = 118  # FFmpeg's FF_QP2LAMBDA: one step of -q:v, as the codec's options count it


def _percent(crf):
    """Quality from 1 to 100, the best, for encoders that count so: 60 at CRF 20."""
    return min(max(100 - 2 * crf, 1), 100)


@dataclass(frozen=True)
class Encoder:
    """How an encoder of FFmpeg, or a family of them, takes quality and speed.

    Attributes
    ----------
    name : str, of the encoder; the end of all names of a family, such as "_nvenc"
    quality : tuple of str, the options that take the quality; empty: `crf`, where there is one
    scale : callable, CRF -> what those options take
    settings : dict, options that the quality needs, or that go with it
    preset : str, the option that takes --preset
    usual : str, the preset where none is asked for; None: the encoder's own
    needs : str, the device that a hardware encoder needs; empty for software
    device : str, FFmpeg's name of the device that its frames are loaded onto; empty: main memory
    least : int, pixels along each side below which it fails
    """

    name: str
    quality: tuple[str, ...] = ()
    scale: Callable[[int], int] = int
    settings: dict[str, str] = field(default_factory=dict)
    preset: str = "preset"
    usual: str | None = None
    needs: str = ""
    device: str = ""
    least: int = 1


# VP9 heeds its quality only where no bit rate is set, VP8 only below one, and VP9 has no presets.
# Quality options of the hardware: the pages of each encoder in FFmpeg's documentation, and
# https://trac.ffmpeg.org/wiki/HWAccelIntro. NVENC's, QSV's, VAAPI's and AMF's scales are H.264's.
ENCODERS = (
    Encoder("libx264", usual="veryfast"),
    Encoder("libx265", usual="veryfast", least=64),  # it writes past its memory, see `recode`
    Encoder("libsvtav1", usual="10"),
    Encoder("libvpx-vp9",
            settings={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}),
    Encoder("libvpx", settings={"b": "100M"}),
    Encoder("_nvenc", ("cq",), settings={"rc": "vbr", "b": "0"},
            needs="an NVIDIA graphics card with NVENC and its driver"),
    Encoder("_qsv", ("global_quality",), needs="an Intel graphics unit with Quick Sync"),
    Encoder("_videotoolbox", ("global_quality",), lambda crf: _LAMBDA * _percent(crf),
            {"flags": "+qscale"}, needs="a Mac with Apple silicon"),
    Encoder("_vaapi", ("global_quality",), settings={"rc_mode": "CQP"}, device="vaapi",
            needs="a graphics card with a VAAPI driver"),
    Encoder("_amf", ("qp_i", "qp_p"), settings={"rc": "cqp"}, preset="quality",
            needs="an AMD graphics card and its driver"),
    Encoder("_mf", ("quality",), _percent, {"rate_control": "quality"},
            needs="Windows with Media Foundation"),
    Encoder("_v4l2m2m", needs="a V4L2 encoder, as of a Raspberry Pi"),
)
# The same samples as another layout, which hardware may want instead.
_INTERLEAVED = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
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
    segment : float, seconds of film that are encoded into a file of their own, which a run that is
        stopped keeps; 0: the film in one piece.
    raw : RawFrames, that come in through a pipe; None: what comes tells itself.
    pixel_format : str, of raw frames that go out through a pipe; None: y4m
    threads : int, of the encoder; None: as many as it likes.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    layout: str | None = None
    segment: float = 10
    raw: RawFrames | None = None
    pixel_format: str | None = None
    threads: int | None = None

    def codec_for(self, container):
        """FFmpeg's name of the encoder for a container, by FFmpeg's name."""
        return self.codec or _CODECS.get(container, "libx264")


def encoder_of(codec):
    """The row of `ENCODERS` for an encoder of FFmpeg, by its name; a plain one for the others."""
    return next((row for row in ENCODERS if codec == row.name
                 or row.needs and codec.endswith(row.name)), Encoder(codec))


def stored_as(codec, pixel_format):
    """The pixel format in which an encoder takes the samples of another; None if it names none.

    Parameters
    ----------
    codec : str, FFmpeg's name of an encoder
    pixel_format : str, planar

    Raises
    ------
    InputError if it is no encoder for video of this build of FFmpeg.
    """
    known = _pixel_formats(codec)
    layouts = (pixel_format, _INTERLEAVED.get(pixel_format))
    if encoder_of(codec).device:  # it names the device alone
        return layouts[1]
    return next((name for name in layouts if name in known), None)


def _pixel_formats(codec):
    """Names of the pixel formats that an encoder takes; empty where it does not say."""
    try:
        encoder = av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        encoder = None
    if encoder is not None and encoder.type == "video":
        return {known.name for known in encoder.video_formats or ()}
    row = encoder_of(codec)
    if not row.needs:
        raise InputError("expected a video encoder of FFmpeg, such as libx264, libx265 or "
                         f"libsvtav1, but got {codec!r}")
    hardware = sorted(name for name in av.codecs_available if encoder_of(name).needs
                      and name.startswith(("h264", "hevc", "av1")))
    raise InputError(f"PyAV's build of FFmpeg has no {codec}, which needs {row.needs}; it has "
                     f"{', '.join(hardware) or 'no hardware encoder'}; or leave --codec out")


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
    names, row = option_names(codec), encoder_of(codec)
    crf = _CRF if options.crf is None else options.crf
    quality = _quality(row, codec, pixel_format, names, crf)
    if options.crf is not None and not quality:
        raise InputError(f"{codec} has no constant quality that --crf could set; leave --crf out, "
                         "or choose another --codec")
    preset = options.preset or row.usual
    if preset and row.preset not in names:
        raise InputError(f"{codec} has no presets; leave --preset out, or choose another --codec")
    return {**quality, **row.settings, **({row.preset: str(preset)} if preset else {})}


def _quality(row, codec, pixel_format, names, crf):
    """The options that set constant quality; none where the encoder has no such thing."""
    if row.quality:
        return {name: str(row.scale(crf)) for name in row.quality}
    if "crf" in names:
        return {"crf": str(crf)}
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
    refuse it, as MPEG-2 and MPEG-4 do, which count frames, and for frames that go out as they are.
    """
    length = 1 / rate_of(stream)
    if codec == RAW:
        return length
    free = encoder_of(codec).quality or "crf" in option_names(codec)
    if free or _trial_size(codec, pixel_format, {}, (stream.time_base, length)):
        return stream.time_base
    return length


def joins(codec, pixel_format, options):
    """Whether packets of two encoders can follow each other as one stream: tried out.

    Parameters
    ----------
    codec, pixel_format : str, FFmpeg's names
    options : dict of str, of the encoder, by its names
    """
    return _joins(codec, pixel_format, tuple(options.items()))


@lru_cache
def _joins(codec, pixel_format, options):
    memory, options = io.BytesIO(), dict(options)
    try:
        with av.open(memory, "w", format="nut") as file, ordinary():
            first, second = (_trial_stream(file, codec, pixel_format, options) for _ in range(2))
            file.start_encoding()
            parts = [_encoded_noise(first.codec_context, range(_JOINED)),
                     _encoded_noise(second.codec_context, range(_JOINED, 2 * _JOINED))]
            for packet in itertools.chain(*parts):
                packet.stream = first
                file.mux(packet)
        with av.open(io.BytesIO(memory.getvalue())) as file:
            decoded = sum(1 for _ in file.decode(video=0))
    except (av.FFmpegError, ValueError):  # the encoder does not start, or nothing holds it
        return False
    return decoded == 2 * _JOINED and all(part[0].is_keyframe for part in parts)


def _trial_stream(file, codec, pixel_format, options):
    stream = file.add_stream(codec, rate=25, options=options)
    stream.height, stream.width, stream.pix_fmt = *_TRIAL_SIZE, pixel_format
    stream.codec_context.time_base = Fraction(1, 25)
    return stream


def _heeds_quantiser(codec, pixel_format):
    """Whether a coarse quantiser makes a frame smaller: tried out, as every encoder takes it."""
    fine, coarse = (_trial_size(codec, pixel_format, _quantiser(number)) for number in _QUANTISERS)
    return fine > 2 * coarse > 0


def _trial_size(codec, pixel_format, options, clock=(Fraction(1, 25), Fraction(1, 25))):
    """Bytes of a frame of noise; 0 where the encoder does not start.

    `clock` is the time base and the length of a frame, in seconds.
    """
    context = av.CodecContext.create(codec, "w")
    context.height, context.width, context.pix_fmt = *_TRIAL_SIZE, pixel_format
    context.options, context.time_base, context.framerate = options, clock[0], 1 / clock[1]
    try:
        return sum(packet.size for packet in _encoded_noise(context, range(1)))
    except av.FFmpegError:
        return 0


def _encoded_noise(context, times):
    """Packets of frames of noise at these times, from an encoder, all of them."""
    noise = np.random.default_rng(0).integers(0, 256, (*_TRIAL_SIZE, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=context.pix_fmt)
    packets = []
    for time in times:
        frame.pts, frame.time_base = time, context.time_base
        packets += context.encode(frame)
    return [*packets, *context.encode(None)]
