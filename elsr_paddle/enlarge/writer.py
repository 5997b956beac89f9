"""Write an enlarged film: the encoder of its main stream, and the other streams as they come."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import av

from elsr_paddle.enlarge.suffixes import CONTAINERS
from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE
from elsr_paddle.threads import ordinary
from elsr_paddle.video.encoder import encoder_clock, encoder_of
from elsr_paddle.video.muxing import carry_metadata, carry_stream, describe
from elsr_paddle.video.pipes import FRAMES_ALONE, RAW, Y4M, EvenTimes
from elsr_paddle.video.pyav import on_device
from elsr_paddle.video.read import rate_of

_EXACT = {"avoid_negative_ts": "disabled"}  # else Matroska shifts all by the sound's priming


def container_of(output: Path, pixel_format: str | None) -> str:
    """FFmpeg's name of the format of a film, by its suffix.

    Parameters
    ----------
    output : Path with a suffix of `CONTAINERS`, or - for standard output
    pixel_format : str, of raw frames on standard output; None: y4m
    """
    if output == PIPE:
        return RAW if pixel_format else Y4M
    return CONTAINERS[output.suffix.lower()]


@contextmanager
def created(path, container):
    """A file to write, closed at the end; whatever FFmpeg meets meanwhile is an InputError.

    Parameters
    ----------
    path : Path
    container : str, FFmpeg's name
    """
    try:
        with av.open(str(path.absolute()), "w", format=container, options=_EXACT) as file:
            yield file
    except av.FFmpegError as error:
        raise InputError(f"writing failed: {error.strerror}") from error


def add_video(file, source, frames):
    """Add the stream that is encoded.

    Parameters
    ----------
    file : av.container.OutputContainer
    source : av.VideoStream, the one that is enlarged
    frames : Frames

    Raises
    ------
    InputError if the container cannot hold it, or a device that the encoder needs is missing.
    """
    try:
        stream = file.add_stream(frames.codec, rate=rate_of(source), options=frames.options,
                                 **on_device(encoder_of(frames.codec).device))
    except av.FFmpegError as error:
        raise _not_started(file, frames, error) from error
    except ValueError as error:
        raise InputError(f"{file.format.name} cannot hold what {frames.codec} "
                         "encodes; choose another --codec or suffix") from error
    stream.height, stream.width = frames.size
    stream.pix_fmt = frames.stored_as
    describe(source, stream)
    context, colour = stream.codec_context, frames.colour
    context.time_base = encoder_clock(frames.codec, frames.format, source)
    context.thread_type = "AUTO"  # as ffmpeg has it; PyAV's slices keep x264 off a core
    context.thread_count = frames.threads or 0
    context.colorspace, context.color_range = colour.matrix, 2 if colour.full else 1
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    ratio = frames.sample_aspect_ratio(source.sample_aspect_ratio)
    if ratio:
        context.sample_aspect_ratio = ratio
    if frames.matrix:
        stream.set_display_matrix(frames.matrix)
    return stream


def start(file, stream, frames):
    """Start the encoders.

    Raises
    ------
    InputError if that of the main stream does not start, or lacks an option.
    """
    try:
        with ordinary():
            file.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        raise _not_started(file, frames, error) from error
    # FFmpeg keeps what it did not take.
    ignored = frames.options.keys() & stream.codec_context.options.keys()
    if ignored:
        raise InputError(f"{frames.codec} has no option {' or '.join(sorted(ignored))}")


def _not_started(file, frames, error):
    settings = ", ".join(f"{name}={value}" for name, value in frames.options.items())
    settings = f" with {settings}" if settings else ""
    needs = encoder_of(frames.codec).needs
    needs = f"; it needs {needs}: choose another --codec, such as libx264" if needs else ""
    return InputError(f"cannot start {frames.codec} in {file.format.name}{settings}: "
                      f"{getattr(error, 'strerror', error)}{needs}")


class Writer:
    """The output file.

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
        self._file, self._outcome = file, outcome
        self._even = None  # numbers frames where the output knows no times
        carry_metadata(reader.container, file)
        self.others = {}
        for stream in reader.container.streams:  # in the order of the input
            if stream.index == reader.stream.index:
                self._stream = add_video(file, stream, frames)
            elif take := carry_stream(stream, file, reader, outcome):
                self.others[stream.index] = take
        if file.format.name in FRAMES_ALONE:
            self._even = EvenTimes(1 / self._stream.codec_context.time_base, outcome)
        start(file, self._stream, frames)
        outcome.height, outcome.width = frames.size

    def carry(self, packet):
        """Write a packet of another stream, if it is one of `others`."""
        take = self.others.get(packet.stream.index)
        if take:
            self._file.mux(take(packet))

    def encode(self, frame):
        """Write an enlarged frame."""
        if self._even:
            self._even.stamp(frame)
        self._file.mux(self._stream.encode(frame))
        self._outcome.frames += 1

    def place(self, packet):
        """Write a packet of the main stream that was encoded before."""
        packet.stream = self._stream
        self._file.mux(packet)
        self._outcome.frames += 1

    def flush(self):
        """Empty the encoder of the main stream."""
        self._file.mux(self._stream.encode(None))

    def finish(self):
        """Empty what converts the other streams."""
        for take in self.others.values():
            self._file.mux(take(None))
