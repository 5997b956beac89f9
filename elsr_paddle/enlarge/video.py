"""Enlarge video files: sound, times and colours as they were, in constant memory."""

from __future__ import annotations

import functools
from contextlib import closing, contextmanager
from pathlib import Path

import av
from tqdm import tqdm

from elsr_paddle.enlarge.frames import Frames
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.suffixes import CONTAINERS
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.threads import ahead
from elsr_paddle.video.encoder import VideoOptions, encoder_clock
from elsr_paddle.video.muxing import carry_metadata, carry_stream, describe
from elsr_paddle.video.streams import open_video

_EXACT = {"avoid_negative_ts": "disabled"}  # else Matroska shifts all by the sound's priming
_DECODED, _ENLARGED = 16, 2  # packets or frames that may wait between two stages


def transcode(source, output, upscaler, *, progress=None, **options):
    """Enlarge a video from file to file.

    Decoder, network and encoder work at the same time, in threads with bounded queues.

    Parameters
    ----------
    source : str or Path, any file that FFmpeg reads
    output : str or Path with a suffix of `CONTAINERS`; appears whole or not at all.
    upscaler : Upscaler
    progress : callable, `progress(total=frames or None)` -> context manager with `update(n)`, as
        tqdm is.
    options : fields of `VideoOptions`

    Returns
    -------
    Outcome

    Raises
    ------
    InputError if the file holds no video that can be decoded, if the output cannot hold it, if the
    encoder has no such option, or if writing fails, as on a full disk.
    """
    outcome, options = Outcome(), VideoOptions(**options)
    progress = progress or functools.partial(tqdm, disable=True)
    container = CONTAINERS[Path(output).suffix.lower()]
    with open_video(source, outcome) as reader:
        frames = Frames(reader, upscaler, container, options, outcome)
        with atomic_write(output) as temporary, _created(temporary, container) as file:
            writer = _Writer(file, reader, frames, outcome)
            items = ahead(reader.items(frames.turns, writer.others), _DECODED)
            items = ahead(_enlarged(items, frames), _ENLARGED)
            with progress(total=reader.frame_count()) as bar, closing(items):
                for item in items:
                    bar.update(writer.take(item))
            writer.finish()
        reader.report()
    return outcome


@contextmanager
def _created(path, container):
    """The output file, closed at the end; whatever FFmpeg meets meanwhile is an InputError."""
    try:
        with av.open(str(path.absolute()), "w", format=container, options=_EXACT) as file:
            yield file
    except av.FFmpegError as error:
        raise InputError(f"writing failed: {error.strerror}") from error


def _enlarged(items, frames):
    """Packets pass as they are, frames through the network."""
    with closing(items):
        for item in items:
            yield frames.enlarge(item) if isinstance(item, av.VideoFrame) else item


class _Writer:
    """The output file: the encoder of the main stream, and the other streams as they come.

    Parameters
    ----------
    file : av.container.OutputContainer
    reader : Reader
    frames : Frames
    outcome : Outcome

    Attributes
    ----------
    others : dict of int, index of an input stream -> callable that turns its packets into ours
    """

    def __init__(self, file, reader, frames, outcome):
        self._file, self._frames, self._outcome = file, frames, outcome
        carry_metadata(reader.container, file)
        self.others = {}
        for stream in reader.container.streams:  # in the order of the input
            if stream.index == reader.stream.index:
                self._stream = self._add_video(stream)
            elif take := carry_stream(stream, file, reader, outcome):
                self.others[stream.index] = take
        self._start()
        outcome.height, outcome.width = frames.size

    def _add_video(self, source):
        frames = self._frames
        try:
            stream = self._file.add_stream(frames.codec, rate=source.average_rate or 25,
                                           options=frames.options)
        except ValueError as error:
            raise InputError(f"{self._file.format.name} cannot hold what {frames.codec} "
                             "encodes; choose another --codec or suffix") from error
        stream.height, stream.width = frames.size
        stream.pix_fmt = frames.format
        describe(source, stream)
        context, colour = stream.codec_context, frames.colour
        context.time_base = encoder_clock(frames.codec, frames.format, source)
        context.thread_type = "AUTO"  # as ffmpeg has it; PyAV's slices keep x264 off a core
        context.colorspace, context.color_range = colour.matrix, 2 if colour.full else 1
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        ratio = frames.sample_aspect_ratio(source.sample_aspect_ratio)
        if ratio:
            context.sample_aspect_ratio = ratio
        if frames.matrix:
            stream.set_display_matrix(frames.matrix)
        return stream

    def _start(self):
        try:
            self._file.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            settings = ", ".join(f"{name}={value}" for name, value in self._frames.options.items())
            settings = f" with {settings}" if settings else ""
            raise InputError(f"cannot start {self._frames.codec} in {self._file.format.name}"
                             f"{settings}: {getattr(error, 'strerror', error)}") from error
        # FFmpeg keeps what it did not take.
        ignored = self._frames.options.keys() & self._stream.codec_context.options.keys()
        if ignored:
            raise InputError(f"{self._frames.codec} has no option {' or '.join(sorted(ignored))}")

    def take(self, item):
        """Write a packet or an enlarged frame; return how many frames."""
        if isinstance(item, av.Packet):
            self._file.mux(self.others[item.stream.index](item))
            return 0
        self._file.mux(self._stream.encode(item))
        self._outcome.frames += 1
        return 1

    def finish(self):
        """Empty the encoders."""
        self._file.mux(self._stream.encode(None))
        for take in self.others.values():
            self._file.mux(take(None))
