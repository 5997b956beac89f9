"""Read a video file as one stream of packets and decoded frames, whatever state it is in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE
from elsr_paddle.video.clock import FrameClock, PacketClock
from elsr_paddle.video.colour import Filter
from elsr_paddle.video.pipes import FRAMES_ALONE, Stdin
from elsr_paddle.video.pyav import open_input
from elsr_paddle.video.read import main_stream

_DAMAGE_LIMIT = 1000  # reads that may fail in a row before the rest of the file is given up
_CUT_SHORT = 0.95  # of what the file promises: with less, it is cut short
_LEAD = 1  # second without a picture at the beginning that is worth a word
_LEADS = (2, 20)  # seconds to go back beyond a frame that is sought, one after the other
_STRAY = 1  # packets that may be lost before the film counts as incomplete
_DEINTERLACE = ("bwdif", "mode=send_frame:deint=interlaced")  # one frame for each two fields
# Formats that state no length: FFmpeg estimates it by the bit rate or the last times.
_NO_LENGTH = (av.format.Flags.ts_discont | av.format.Flags.no_timestamps
              | av.format.Flags.generic_index).value


@contextmanager
def open_video(path, outcome, raw=None):
    """Open a video file as a `Reader` for the length of the block.

    Parameters
    ----------
    path : str or Path; - for standard input
    outcome : Outcome, told what is wrong with it
    raw : RawFrames, what comes from standard input where it does not tell itself

    Raises
    ------
    InputError if it is no video file, or one without video.
    """
    piped = Stdin(raw) if Path(path) == PIPE else None
    try:
        container = piped.open() if piped else open_input(path)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except av.FFmpegError as error:
        raise InputError(f"no video, or cut short, or damaged: {error.strerror}") from error
    with container:
        yield Reader(container, main_stream(container), outcome, piped)


@dataclass
class Decoded:
    """What came out of the decoder of the main stream, and how sound that was.

    Attributes
    ----------
    frames : int
    damaged : int, packets that could not be decoded
    patched : int, frames that the decoder made up in part
    moved : int, frames whose time was not above the one before
    untimed : int, frames whose time was made from those of others
    """

    frames: int = 0
    damaged: int = 0
    patched: int = 0
    moved: int = 0
    untimed: int = 0


class Reader:
    """Packets of the other streams and decoded frames of the main one, in the file's order.

    Parameters
    ----------
    container : av.container.InputContainer
    stream : av.VideoStream, the main one
    outcome : Outcome, told what is wrong with the file
    piped : Stdin, or None for a file

    Attributes
    ----------
    decoded : Decoded, so far
    """

    def __init__(self, container, stream, outcome, piped=None):
        self.container, self.stream, self.decoded = container, stream, Decoded()
        self._outcome, self._piped = outcome, piped
        self._whole = None  # bytes up to the end of the last frame that came whole through a pipe
        self._packet_clock = PacketClock(container, stream)
        self._frame_clock = FrameClock(container, stream)
        self._early = []  # what came up to and with the first frame
        self._hidden = self._damaged = 0
        self._begin = None  # time of the first packet of the main stream, in its ticks
        self._content = self._decoded()

    def let_go(self):
        """Wait no longer for a pipe that sends nothing: nobody wants the rest."""
        if self._piped:
            self._piped.left = True

    def first_frame(self):
        """Decode as far as the first frame: only that tells colour, rotation and real size.

        Raises
        ------
        InputError if no frame can be decoded.
        """
        for item in self._content:
            self._early.append(item)
            if isinstance(item, av.VideoFrame):
                self._note_lead(item)
                return item
        raise InputError("no frame of the video can be decoded")

    def _note_lead(self, frame):
        lead = 0 if self._begin is None else (frame.pts - self._begin) * frame.time_base
        if lead > _LEAD:
            self._outcome.warn(f"its first {float(lead):.1f} seconds have no picture: they build "
                               "on one from before the recording")

    def seconds(self):
        """How long the film says to last; None where it does not say."""
        length = self.container.duration
        return None if length is None else Fraction(length, av.time_base)

    def can_seek(self):
        """Whether the times of a frame tell where in the film it is, wherever reading begins."""
        container = self.container.format
        return container.name != "avi" and not container.flags & _NO_LENGTH

    def seek(self, time):
        """Go on from a key frame before a time instead of from the beginning.

        Parameters
        ----------
        time : Fraction, seconds; frames from there on are as if all had been decoded.

        Returns
        -------
        bool, whether there is such a frame; if not, this reader is of no use any more.
        """
        for lead in _LEADS:
            if time <= lead:
                return False
            self.container.seek(int((time - lead) / self.stream.time_base), stream=self.stream)
            self._packet_clock = PacketClock(self.container, self.stream)
            self._frame_clock, self.decoded = FrameClock(self.container, self.stream), Decoded()
            self._content, self._early = self._decoded(), []
            for frame in self._content:
                if isinstance(frame, av.VideoFrame) and frame.key_frame:
                    self._early = [frame]
                    break
            if self._early and self._early[0].time <= time - lead / 2:
                return True
        return False

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
        names, chain, made_for = turns, None, None
        for item in self._all():
            if not isinstance(item, av.VideoFrame):
                if item.stream.index in wanted:
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
        for packet in self.packets():
            if packet.stream.index != self.stream.index:
                yield packet
                continue
            self._frame_clock.sent(packet)
            if self._begin is None and not packet.is_discard:
                self._begin = packet.pts
            for frame in self._frames_of(packet):
                self._frame_clock.stamp(frame)
                self.decoded.moved = self._frame_clock.moved
                self.decoded.untimed = self._frame_clock.untimed
                yield frame

    def packets(self):
        """All packets of all streams, with running times: instead of `items`, to decode nothing."""
        for packet in self._packets():
            self._packet_clock.correct(packet)
            if packet.stream.index == self.stream.index:
                self._hidden += packet.is_discard  # cut away by an edit list: decoded, never shown
            yield packet

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
        if packet.size == 0 and packet.dts is not None:
            return []  # Theora's word for a picture that stays; one at the end has no time
        try:
            frames = packet.decode()
        except av.error.EOFError:  # the decoder was told of the end already
            return []
        except av.FFmpegError:
            self.decoded.damaged += 1
            return []
        self.decoded.frames += len(frames)
        if packet.size and packet.pos is not None:
            self._whole = packet.pos + packet.size
        self.decoded.patched += sum(frame.is_corrupt for frame in frames)
        return frames

    def note_damage(self):
        """Count one more packet that could not be decoded."""
        self._damaged += 1

    def report(self):
        """Tell the outcome what was damaged, moved or is missing."""
        cut_off, silence = self._cut_off(), float(self._packet_clock.silence())
        damaged = self._damaged + self.decoded.damaged
        if cut_off:
            self._outcome.warn(f"it is cut short: {cut_off} are missing")
        if silence:
            self._outcome.warn(f"it has holes: {silence:.1f} seconds have no picture and no sound")
        for count, text in ((damaged, "damaged packets were skipped"),
                            (self.decoded.patched, "damaged frames were patched by the decoder"),
                            (self.decoded.moved, "frames had a time that was not above the "
                             "one before: they were moved"),
                            (self._packet_clock.restarts, "times its clock jumped: what follows "
                             "was joined without a gap")):
            if count:
                self._outcome.warn(f"{count} {text}")
        packets = f"{damaged} packets" if damaged > _STRAY else ""
        # A recording that was paused has such holes, too, and its format does not tell.
        paused = self.container.format.flags & av.format.Flags.ts_discont.value
        seconds = f"{silence:.1f} seconds" if silence and not paused else ""
        self._outcome.missing = cut_off or packets or seconds

    def _cut_off(self):
        """How much less the file holds than it promises, where that is more than a rounding."""
        # AVI counts places: where nothing changes for a while, they hold no frame.
        counted = self.container.format.name != "avi"
        promised = self.stream.frames - self._hidden if counted else 0
        if self._piped and self.container.format.name in FRAMES_ALONE:
            return "" if self._whole in (None, self._piped.bytes) else "parts of the last frame"
        end, length = self._packet_clock.now or 0, self._length()
        if self.decoded.frames < _CUT_SHORT * promised:
            return f"{promised - self.decoded.frames} of {promised} frames"
        if end < min(_CUT_SHORT * length, length - 1):  # the end is known to some frames only
            return f"the last {float(length - end):.1f} of {float(length):.1f} seconds"
        return ""

    def _length(self):
        """Seconds that the file says to last, 0 where it does not say."""
        if self.container.format.name == "avi" and self.stream.average_rate:
            return self.stream.frames / self.stream.average_rate  # FFmpeg's follows the file's size
        stated = not self.container.format.flags & _NO_LENGTH
        return Fraction(self.container.duration or 0, av.time_base) if stated else 0
