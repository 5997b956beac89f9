"""Choose the network for a film: the best one that keeps up with it on this machine.

How fast a network is depends on the machine, and on what else it does. So a film's own frames pass
decoder, network and encoder together, for a fraction of a second a network. The choice has a name,
by which a later run can repeat it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av

from elsr_paddle.enlarge.frames import Frames
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.sizes import Upscaler
from elsr_paddle.enlarge.writer import container_of
from elsr_paddle.errors import InputError
from elsr_paddle.files import PIPE
from elsr_paddle.networks.weights import NAME_ENDINGS
from elsr_paddle.networks.zoo import LADDER, SOURCES
from elsr_paddle.threads import ahead
from elsr_paddle.video.encoder import VideoOptions, encoder_clock
from elsr_paddle.video.streams import open_video

_SECONDS = 0.3  # that frames are taken for, of each network
_MOST = 120  # frames of a film that are tried
_DECODED, _ENLARGED = 16, 2  # frames that may wait between two stages, as in `transcode`
_GONE = 3  # frames are taken where a third has gone by: what comes first is often black
_RATE = 25  # frames a second of a film that does not say


class Trial(NamedTuple):
    """How fast a network enlarged frames of a film.

    Attributes
    ----------
    network : str, its name
    speed : float, frames a second
    """

    network: str
    speed: float


def largest_in_time(trials: Iterable[Trial], needed: float) -> list[Trial]:
    """Take trials, the largest network's first, until one keeps up.

    Parameters
    ----------
    trials : iterable of Trial; what comes after the one that keeps up is not asked for.
    needed : float, frames a second

    Returns
    -------
    list of Trial, those taken; the last is the choice: the largest network that keeps up, or the
    smallest of all.
    """
    taken = []
    for trial in trials:
        taken.append(trial)
        if trial.speed >= needed:
            break
    return taken


def told(taken: list[Trial], needed: float) -> str:
    """A line on the choice that `largest_in_time` made."""
    *slower, chosen = taken
    line = f"{chosen.network}: {chosen.speed:.0f} frames/s here, the film needs {needed:.0f}"
    if chosen.speed < needed:
        line += "; no network keeps up, so the fastest is taken"
    others = ", ".join(f"{trial.network} {trial.speed:.0f}" for trial in slower)
    return f"{line} (too slow: {others})" if others else line


def choose_for_film(
    source: str | Path,
    output: str | Path,
    upscalers: Mapping[str, Upscaler],
    options: VideoOptions,
    say: Callable[[str], None],
    kind: str = "clean",
) -> tuple[Upscaler, str]:
    """What an earlier run of the same output had chosen, else the best network that keeps up.

    Parameters
    ----------
    source : path of the film
    output : path of the larger one, with a suffix of `CONTAINERS`; - for standard output
    upscalers : mapping, quality, a key of `LADDER` -> Upscaler; the fastest first
    options : VideoOptions, how it will be encoded
    say : callable, takes a line on the choice
    kind : str, of the film, a key of `zoo.SOURCES`: of what kind the networks are

    Returns
    -------
    Upscaler, and the name of its network: empty where there was nothing to choose by, as for frames
    from a pipe, which come but once, or to one, whose reader is not known, and for a film that gets
    no larger. Then it is the fastest.

    Raises
    ------
    InputError if the film cannot be read, or cannot be encoded so.
    """
    recorded = network_of_parts(output)
    ending = NAME_ENDINGS.get(SOURCES[kind], "")
    quality = {network + ending: quality for quality, network in LADDER.items()}.get(recorded)
    if quality in upscalers:
        say(f"{recorded}, as in the run that is continued")
        return upscalers[quality], recorded
    found, fastest = {}, next(iter(upscalers.values()))
    if not Path(source).is_file() or Path(output) == PIPE:
        return fastest, ""
    needed, place = _survey(source)
    container = container_of(Path(output), options.pixel_format)
    taken = largest_in_time(_trials(source, place, upscalers, found, container, options), needed)
    if not taken:
        return fastest, ""
    say(told(taken, needed))
    network = taken[-1].network
    return found[network], network


def network_of_parts(output: str | Path) -> str | None:
    """The name of the network that an unfinished run of an output uses.

    Parameters
    ----------
    output : path of a film; beside it lie the segments that are finished, in a folder of its name
        and `.parts`, with a manifest.

    Returns
    -------
    str, or None where there is no such run.
    """
    manifest = Path(f"{output}.parts", "manifest.json")
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["network"]["model"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: the run begins anew
        return None


def _survey(source):
    """Frames a second of a film, and the microsecond to begin a trial at; None: its beginning."""
    with open_video(source, Outcome()) as reader:
        rate, container = float(reader.stream.average_rate or _RATE), reader.container
        place = (container.start_time or 0) + (container.duration or 0) // _GONE
        with suppress(av.FFmpegError, InputError):  # it cannot seek, or ends before that
            container.seek(place)
            reader.first_frame()
            return rate, place
    return rate, None


def _trials(source, place, upscalers, found, container, options):
    """Yield a Trial of each network, the largest first; none for a film that gets no larger.

    `found` is filled with the Upscaler of each network's name.
    """
    for upscaler in reversed(upscalers.values()):
        with open_video(source, Outcome()) as reader:  # the run itself tells of the film's faults
            if place is not None:
                reader.container.seek(place)
            frames = Frames(reader, upscaler, container, options, Outcome())
            if frames.scale == 1:
                return
            network = upscaler.engine(frames.scale).model_name
            if network in found:  # at some scales not all of the ladder ship
                continue
            found[network] = upscaler
            try:
                speed = _speed(reader, frames)
            except av.FFmpegError:  # an option that the encoder refuses, as the run will tell
                return
        yield Trial(network, speed)


def _speed(reader, frames):
    """Frames a second through decoder, network and encoder, each in a thread as in a run.

    The clock starts with the first frame that is enlarged, and stops when the encoder is empty.
    """
    encoder, begin, count = _encoder(reader.stream, frames), None, 0
    items = ahead(islice(reader.items(frames.turns, ()), _MOST), _DECODED)
    with closing(ahead(_enlarged(items, frames), _ENLARGED)) as enlarged:
        for frame in enlarged:
            begin = begin or time.perf_counter()
            encoder.encode(frame)
            count += 1
            if time.perf_counter() - begin > _SECONDS:
                break
    encoder.encode(None)
    return max(1, count - 1) / (time.perf_counter() - begin)


def _enlarged(items, frames):
    with closing(items):
        for frame in items:
            yield frames.enlarge(frame)


def _encoder(stream, frames):
    """An encoder as that of the run, whose packets go nowhere."""
    context = av.CodecContext.create(frames.codec, "w")
    context.height, context.width = frames.size
    context.pix_fmt, context.options = frames.stored_as, frames.options
    context.time_base = encoder_clock(frames.codec, frames.format, stream)
    context.framerate = stream.average_rate or _RATE
    context.thread_type = "AUTO"
    return context
