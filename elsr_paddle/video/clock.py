"""Give every packet and every frame of a film its time, where the file's own times fail.

The rules are FFmpeg's. A clock that wraps, or starts anew where recordings were joined, is carried
on, for all streams alike (`ts_discontinuity_process` of ffmpeg). A frame without a usable
presentation time takes the one that its place in decoding order gives (`best_effort_timestamp`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

_MICROSECOND = Fraction(1, av.time_base)
_JUMP = 10  # seconds: ffmpeg's dts_delta_threshold
_BACK = Fraction(1, 10)  # seconds that decoding times may go back, as in ffmpeg
_GAP = Fraction(1, 10)  # seconds without a packet that are more than an uneven rate
_ATTACHED_PICTURE = av.stream.Disposition.attached_pic
_PTS_FAULTS = 2  # presentation times out of order, until those of decoding are trusted instead


@dataclass
class _Track:
    """One stream's clock, in seconds: what is added to it, its last packet, and when that ends.

    `steady` is whether the stream goes on all the time; the others may pause as long as they like.
    """

    steady: bool
    offset: Fraction
    last: Fraction | None
    due: Fraction | None


class PacketClock:
    """The one clock of a file: packets of all streams in, the same packets with running times out.

    Transport and program streams start at any time; here they start at zero. Others start where
    they say, but not before zero, where players show nothing.

    Parameters
    ----------
    container : av.container.InputContainer
    stream : av.VideoStream, the main one

    Attributes
    ----------
    restarts : int, how often the clock was carried on
    gaps : dict of int, index of a steady stream -> list of (start, end) in seconds
    now : Fraction or None, seconds: the end of the latest packet of sound or video
    """

    def __init__(self, container, stream):
        self.restarts, self.gaps = 0, {}
        self._may_jump = bool(container.format.flags & av.format.Flags.ts_discont.value)
        start = (container.start_time or 0) * _MICROSECOND
        if not self._may_jump:
            start = min(0, (stream.start_time or 0) * Fraction(stream.time_base))
        self._newest = -start  # added to the times of the file
        self._tracks = {}
        self.now = Fraction(0) if self._may_jump else None

    def correct(self, packet):
        """Shift the packet's times."""
        if packet.time_base is None:
            return
        ticks = round(self._offset(packet) / packet.time_base)
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks

    def _begin(self, stream):
        steady = stream.type in ("audio", "video") and not stream.disposition & _ATTACHED_PICTURE
        if steady:
            self.gaps[stream.index] = []
        self._tracks[stream.index] = _Track(steady, self._newest, None, self.now)
        return self._tracks[stream.index]

    def _offset(self, packet):
        """What to add to its times: as before, or as for other streams, or what carries it on."""
        track = self._tracks.get(packet.stream.index) or self._begin(packet.stream)
        if packet.dts is None:
            return track.offset
        time = packet.dts * packet.time_base
        if track.due is not None:
            # After a restart, packets of the old clock still come between those of the new.
            track.offset = min(self._newest, track.offset,
                               key=lambda offset: abs(time + offset - track.due))
        if track.steady:
            if not self._goes_on(track, time + track.offset):
                track.offset = self._newest = track.due - time
                self.restarts += track.last is not None
            track.last = time + track.offset
            if track.due is not None and track.last > track.due + _GAP:
                self.gaps[packet.stream.index].append((track.due, track.last))
            track.due = track.last + (packet.duration or 0) * packet.time_base
            self.now = max(self.now or track.due, track.due)
        return track.offset

    def silence(self):
        """Seconds in which no steady stream goes on: damage of which FFmpeg says nothing.

        0 where there is but one such stream: a picture may well stand still.
        """
        first, *others = self.gaps.values() if len(self.gaps) > 1 else [[]]
        for gaps in others:
            common = ((max(start, begin), min(end, stop))
                      for start, end in first for begin, stop in gaps)
            first = [(start, end) for start, end in common if start < end]
        return sum(end - start for start, end in first)

    def _goes_on(self, track, time):
        if track.due is None:
            return True
        if not self._may_jump:
            return time > track.due - _JUMP
        earliest = track.due - _JUMP if track.last is None else track.last - _BACK
        return earliest <= time <= max(track.due, self.now) + _JUMP


class FrameClock:
    """Presentation times of the main stream's frames: all have one, and each is above the last.

    Parameters
    ----------
    container : av.container.InputContainer
    stream : av.VideoStream, the main one

    Attributes
    ----------
    moved : int, frames whose own time was not above the last one's
    untimed : int, frames whose own time was missing or not to be trusted
    """

    def __init__(self, container, stream):
        self.moved = self.untimed = 0
        # AVI stores the order of decoding alone: what stands as presentation time is guessed.
        self._trusted = container.format.name != "avi"
        self._rate = stream.average_rate or stream.guessed_rate or 25
        self._starts = []  # decoding times of key frames until the first frame comes out
        self._delay = None  # of decoding behind presentation, in ticks
        self._last, self._end = None, 0

    def sent(self, packet):
        """Note a packet that goes into the decoder."""
        if self._last is None and packet.is_keyframe and packet.dts is not None:
            self._starts.append(packet.dts)

    def stamp(self, frame):
        """Set `pts` of the next frame that came out of the decoder."""
        length = frame.duration or round(1 / (self._rate * frame.time_base))
        time = self._own_time(frame)
        if time is None:
            self.untimed += 1
            time = self._time_by_decoding(frame)
        if self._last is not None and time <= self._last:
            self.moved += 1
            time = self._last + max(1, length // 2)  # so that the next one keeps its time
        frame.pts, self._last, self._end = time, time, time + length

    def _own_time(self, frame):
        """The frame's time if it has one to be trusted; remember how decoding lies to it."""
        if frame.pts is None or not self._trusted:
            return None
        if self._last is not None and frame.pts <= self._last:
            self._trusted = self.moved + 1 < _PTS_FAULTS or frame.dts is None
        elif frame.dts is not None:
            self._delay = frame.dts - frame.pts
        return frame.pts

    def _time_by_decoding(self, frame):
        """In order of decoding, from the first key frame on; at the end, one after the other."""
        if frame.dts is None:
            return self._end
        if self._delay is None:
            before = [start for start in self._starts if start <= frame.dts]
            self._delay = frame.dts - max(before, default=frame.dts)
        return frame.dts - self._delay
