"""Enlarge a long film in segments of some seconds, so that a killed run goes on where it was.

The film is decoded from its beginning, as in one piece, so a frame has the same time and the same
pixels either way, whatever state the file is in. Each segment has an encoder of its own and ends up
in a file of `Parts`. At the end the packets of all of them are joined, as they are.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from fractions import Fraction
from itertools import chain, groupby
from operator import itemgetter

from elsr_paddle.enlarge.parts import (
    FORMAT,
    End,
    Parts,
    Record,
    checksum,
    decoding_times,
    identity,
)
from elsr_paddle.enlarge.writer import Writer, add_video, created, start
from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE, atomic_write
from elsr_paddle.threads import ahead
from elsr_paddle.video.encoder import joins
from elsr_paddle.video.pyav import open_input
from elsr_paddle.video.streams import Decoded, open_video

DECODED, ENLARGED = 16, 2  # packets or frames that may wait between two stages


def worth_cutting(source, output, reader, frames, seconds, outcome):
    """Whether a film is made in segments: it lasts at least two of them, and they can be joined.

    Parameters
    ----------
    source, output : Path of the film, and of the larger one
    reader : Reader of the film
    frames : Frames
    seconds : float, length of a segment; 0 for a film in one piece
    outcome : Outcome, told of an encoder whose packets cannot be joined
    """
    if not seconds or output == PIPE or not source.is_file():
        return False
    length = reader.seconds()
    if length is not None and length < 2 * seconds:
        return False
    if joins(frames.codec, frames.stored_as, frames.options):
        return True
    outcome.warn(f"what {frames.codec} encodes cannot be joined: made in one piece, so that a run "
                 "that is stopped begins anew")
    return False


def open_parts(source, output, frames, options, overwrite):
    """The parts of an output, for the run that these arguments describe.

    Raises
    ------
    InputError if they are another run's, unless `overwrite`.
    """
    parts = Parts(output)
    parts.open(identity(source, codec=frames.codec, pixels=frames.format, quality=frames.options,
                        size=frames.size, comparison=options.layout, network=frames.network,
                        segment=options.segment, container=output.suffix.lower()), overwrite)
    return parts


def enlarge_in_segments(reader, frames, parts, seconds, outcome, bar):
    """Make every segment that is not there yet, and note the end.

    Parameters
    ----------
    reader : Reader, at the beginning of the film
    frames : Frames
    parts : Parts
    seconds : float
    outcome : Outcome, told how many there are, and how many were there
    bar : has `update(n)` for each frame
    """
    kept, end = parts.whole(), parts.end()
    if end and kept.keys() >= set(end.segments):
        outcome.segments = outcome.kept = len(end.segments)
        bar.update(sum(record.frames for record in kept.values()))
        return
    numbers = []
    for number, content in segments(reader, frames, seconds, lambda n: n not in kept, bar):
        numbers.append(number)
        if number in kept:
            outcome.kept += 1
            continue
        parts.keep(number, encode(content, parts.path(number), reader.stream, frames))
    outcome.segments = len(numbers)
    parts.note_end(End(numbers, asdict(reader.decoded), outcome.warnings))


def segments(reader, frames, seconds, wanted, bar):
    """Decode a film in segments, and enlarge some of them.

    Parameters
    ----------
    reader, frames, seconds, bar : see `enlarge_in_segments`
    wanted : callable, number of a segment -> whether to enlarge it

    Yields
    ------
    (int, iterator of av.VideoFrame), the number of a segment and its enlarged frames, none where it
    is not wanted. Those not taken until the next segment are gone.
    """
    items = ahead(_numbered(reader.items(frames.turns, ()), seconds), DECODED)
    items = ahead(_enlarged(items, frames, wanted), ENLARGED)
    with closing(items):
        for number, content in groupby(_counted(items, bar), key=itemgetter(0)):
            yield number, (frame for _, frame in content if frame)


def _counted(items, bar):
    for item in items:
        yield item
        bar.update(1)


def _numbered(items, seconds):
    """Yield (number of its segment, frame): they begin at 0, `seconds`, and so on."""
    seconds = Fraction(seconds)
    with closing(items):
        for frame in items:
            yield max(0, int(frame.pts * frame.time_base // seconds)), frame


def _enlarged(items, frames, wanted):
    with closing(items):
        for number, frame in items:
            yield number, frames.enlarge(frame) if wanted(number) else None


def encode(content, path, source, frames):
    """Encode a segment into a file.

    Parameters
    ----------
    content : iterable of av.VideoFrame, enlarged
    path : Path, appears whole or not at all.
    source : av.VideoStream that is enlarged
    frames : Frames

    Returns
    -------
    Record
    """
    with atomic_write(path) as temporary:
        with created(temporary, FORMAT) as file:
            stream = add_video(file, source, frames)
            start(file, stream, frames)
            times = [_placed(packet, file) for frame in chain(content, (None,))
                     for packet in stream.encode(frame)]
            time_base = stream.codec_context.time_base
        pts, dts, durations = (list(column) for column in zip(*times))
        return Record(checksum(temporary), str(time_base), pts, dts, durations)


def _placed(packet, file):
    """Write a packet; its times, which writing changes."""
    times = packet.pts, packet.dts, packet.duration
    file.mux(packet)
    return times


def join(source, container, frames, parts, outcome):
    """Join the segments and all that goes with them into the output, and delete the parts.

    Parameters
    ----------
    source : Path of the film
    container : str, FFmpeg's name of the output's
    frames : Frames
    parts : Parts, all there
    outcome : Outcome
    """
    end, records = parts.end(), parts.whole()
    damaged = sorted(set(end.segments) - records.keys())
    if damaged:
        raise InputError(f"segments {damaged} in {parts.folder} were damaged while others were "
                         "made; repeat the command to make them anew")
    outcome.warn_all(end.warnings)
    with open_video(source, outcome) as reader:
        reader.decoded = Decoded(**end.decoded)
        with atomic_write(parts.output) as temporary, created(temporary, container) as file:
            writer = Writer(file, reader, frames, outcome)
            video = _packets(parts, {number: records[number] for number in end.segments})
            _merge(video, reader.packets(), writer)
            writer.finish()
        reader.report()
    parts.remove()


def _packets(parts, records):
    """The packets of all segments, with their times in the film."""
    decoding = iter(decoding_times(list(records.values())))
    for number, record in records.items():
        times = zip(record.pts, record.durations, decoding)
        with open_input(parts.path(number)) as file:
            encoded = (packet for packet in file.demux(video=0) if packet.size)
            for packet, (pts, duration, dts) in zip(encoded, times):
                packet.pts, packet.dts, packet.duration = pts, dts, duration
                packet.time_base = Fraction(record.time_base)
                yield packet


def _merge(video, packets, writer):
    """Write both in the order of their times of decoding, as far as files have one."""
    waiting = next(video, None)
    for packet in packets:
        while waiting and packet.dts is not None \
                and waiting.dts * waiting.time_base <= packet.dts * packet.time_base:
            writer.place(waiting)
            waiting = next(video, None)
        writer.carry(packet)
    while waiting:
        writer.place(waiting)
        waiting = next(video, None)
