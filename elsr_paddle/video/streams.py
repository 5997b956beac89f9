"""A video file as one stream of packets and decoded frames, whatever state it is in."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import av

from elsr_paddle.errors import InputError
from elsr_paddle.video.colour import Filter
from elsr_paddle.video.read import main_stream

_DAMAGE_LIMIT = 1000  # reads that may fail in a row before the rest of the file is given up
_CUT_SHORT = 0.95  # of the frames that the file promises: with fewer, say so
_DEINTERLACE = ("bwdif", "mode=send_frame:deint=interlaced")  # one frame for each two fields


@contextmanager
def open_video(path, outcome):
    """Open a video file as a `Reader` for the length of the block.

    Raises
    ------
    InputError if it is no video file, or one without video.
    """
    try:
        # Absolute: FFmpeg takes the beginning of `12:30.mp4` for a protocol.
        container = av.open(str(Path(path).absolute()), metadata_errors="ignore")
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except av.FFmpegError as error:
        raise InputError(f"no video, or cut short, or damaged: {error.strerror}") from error
    with container:
        yield Reader(container, main_stream(container), outcome)


class Reader:
    """Packets of the other streams and decoded frames of the main one, in the file's order.

    Parameters
    ----------
    container : av.container.InputContainer
    stream : av.VideoStream, the main one
    outcome : Outcome, told what is wrong with the file
    """

    def __init__(self, container, stream, outcome):
        self.container, self.stream = container, stream
        self._outcome = outcome
        self._early = []  # what came up to and with the first frame
        self._frames = self._damaged = self._concealed = self._late = 0
        self._content = self._decoded()

    def first_frame(self):
        """Decode as far as the first frame: only that tells colour, rotation and real size.

        Raises
        ------
        InputError if no frame can be decoded.
        """
        for item in self._content:
            self._early.append(item)
            if isinstance(item, av.VideoFrame):
                return item
        raise InputError("no frame of the video can be decoded")

    def frame_count(self):
        """Frames to expect, or None where the file does not say."""
        stream = self.stream
        if stream.frames:
            return stream.frames
        if stream.duration and stream.average_rate:
            return round(stream.duration * stream.time_base * stream.average_rate)
        return None

    def items(self, turns, wanted):
        """All content: frames progressive, upright and in rising order of time.

        Parameters
        ----------
        turns : list of (name, arguments) of filters that turn a frame
        wanted : container of int, indices of the other streams to give

        Yields
        ------
        av.Packet of another stream, or av.VideoFrame of the main one
        """
        last = None
        for item in self._filtered(turns):
            if not isinstance(item, av.VideoFrame):
                if item.stream.index in wanted:
                    yield item
            elif last is not None and item.pts <= last:
                self._late += 1
            else:
                last = item.pts
                yield item

    def _filtered(self, turns):
        """Send frames through libavfilter where they are interlaced or to be turned."""
        names, chain, made_for = turns, None, None
        for item in self._all():
            if not isinstance(item, av.VideoFrame):
                yield item
                continue
            if item.interlaced_frame and names is turns:
                self._outcome.warn("it is interlaced: deinterlaced with bwdif")
                names = [_DEINTERLACE, *turns]
            needed = (names, item.width, item.height, item.format.name)
            if names and needed != made_for:
                yield from chain(None) if chain else ()
                chain, made_for = Filter(item, names), needed
            yield from chain(item) if chain else (item,)
        yield from chain(None) if chain else ()

    def _all(self):
        early, self._early = self._early, []
        yield from early
        yield from self._content

    def _decoded(self):
        end = 0
        for packet in self._packets():
            if packet.stream.index != self.stream.index:
                yield packet
                continue
            for frame in self._frames_of(packet):
                end = self._timed(frame, end)
                yield frame

    def _packets(self):
        """All packets, reading on after damage."""
        failures = 0
        while failures < _DAMAGE_LIMIT:
            try:
                for packet in self.container.demux():
                    failures = 0
                    yield packet
                return
            except av.FFmpegError:
                failures += 1
                self._damaged += 1

    def _frames_of(self, packet):
        try:
            frames = packet.decode()
        except av.error.EOFError:  # the decoder was told of the end already
            return []
        except av.FFmpegError:
            self._damaged += 1
            return []
        self._frames += len(frames)
        self._concealed += sum(frame.is_corrupt for frame in frames)
        return frames

    def _timed(self, frame, end):
        """Give a time to a frame that has none, and a length; return when it ends."""
        if frame.pts is None:
            frame.pts = end if frame.dts is None else max(end, frame.dts)
        rate = self.stream.average_rate or self.stream.guessed_rate or 25
        return frame.pts + (frame.duration or round(1 / (rate * frame.time_base)))

    def report(self):
        """Tell the outcome what was damaged or is missing."""
        for count, text in ((self._damaged, "damaged packets were skipped"),
                            (self._concealed, "damaged frames were patched by the decoder"),
                            (self._late, "frames out of order were left out")):
            if count:
                self._outcome.warn(f"{count} {text}")
        if self._frames < _CUT_SHORT * self.stream.frames:
            self._outcome.warn(f"it is cut short: {self._frames} of {self.stream.frames} frames")
