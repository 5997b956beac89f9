"""Spread pictures and segments of films over the machines of a Ray cluster.

Ray schedules, retries what was under way on a machine that died, and moves the bytes. The driver
plans, writes what comes back into `OUT.parts/` and joins it: a run can go on with or without Ray.
Tasks are free to go to any machine; a process of Ray's keeps its engine from one to the next.
"""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.enlarge.batch import Result, failed, tidy
from elsr_paddle.enlarge.frames import Frames
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.parts import End, Record
from elsr_paddle.enlarge.segments import encode, join, open_parts, segments, worth_cutting
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.enlarge.suffixes import CONTAINERS
from elsr_paddle.errors import InputError, needs
from elsr_paddle.files import atomic_write
from elsr_paddle.networks.weights import read
from elsr_paddle.video.encoder import VideoOptions
from elsr_paddle.video.streams import Decoded, open_video

_AHEAD = 2  # tasks that are handed to Ray for each one that can run at once
_RETRIES = 3  # machines that may die under one task


@dataclass(frozen=True)
class Work:
    """What a machine needs to know to enlarge anything of a run.

    Attributes
    ----------
    weights : tuple of (scale, bytes of a file of weights)
    engine : EngineOptions
    target : Target
    max_pixels : int
    video : VideoOptions
    """

    weights: tuple[tuple[int, bytes], ...]
    engine: EngineOptions
    target: Target
    max_pixels: int
    video: VideoOptions


@dataclass(frozen=True)
class Span:
    """Segments of a film that one task makes: `first` to before `last`, or to the film's end."""

    first: int = 0
    last: int | None = None

    def holds(self, number):
        """Whether a segment is one of them."""
        return self.first <= number and (self.last is None or number < self.last)


@dataclass(frozen=True)
class Made:
    """One segment that comes back: its number, the bytes of its file, and its record."""

    number: int
    content: bytes
    record: Record


@dataclass(frozen=True)
class Looked:
    """What a task says at its end: the segments that the film has there, and how it was decoded."""

    numbers: list[int]
    decoded: Decoded
    warnings: list[str]


def run_on_cluster(jobs, upscaler, work, *, address, ship=False, overwrite=False, bar=None):
    """Carry out jobs on a Ray cluster; one that fails does not stop the others.

    Parameters
    ----------
    jobs : list of Job
    upscaler : Upscaler, of this process, which plans and joins
    work : Work
    address : str, of the cluster, as `ray.init` takes it; "auto" for the one of this machine.
    ship : bool, whether inputs go to the machines through Ray; else all see them by their paths.
    overwrite : bool; False skips a job whose output is there.
    bar : has `update(n)` for frames and pictures; or None

    Yields
    ------
    Result of each job, as they come

    Raises
    ------
    InputError if Ray is not installed or there is no cluster at the address.
    """
    ray = needs("ray", extra="ray")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster at {address}: start one with `ray start --head`, or give "
                         f"--ray its address ({' '.join(str(error).split())[:200]})") from error
    try:
        yield from _Run(ray, upscaler, work, ship, overwrite, bar).results(jobs)
    finally:
        ray.shutdown()


class _Run:
    """Hands tasks to Ray, a window of them at a time, and takes what comes back."""

    def __init__(self, ray, upscaler, work, ship, overwrite, bar):
        self._ray, self._upscaler, self._work = ray, upscaler, work
        self._ship, self._overwrite = ship, overwrite
        self._bar = tqdm(disable=True) if bar is None else bar
        self._threads = work.engine.threads or 1
        self._shared = ray.put(work)
        options = {"num_cpus": self._threads, "max_retries": _RETRIES}
        self._make_file = ray.remote(**options)(make_file)
        self._make_segments = ray.remote(**options)(make_segments)

    def results(self, jobs):
        """Yield the Result of each job."""
        tasks, running = self._tasks(jobs), {}
        while True:
            while len(running) < self._window() and (found := next(tasks, None)):
                if isinstance(found, Result):
                    yield found
                else:
                    running[found[1]] = found[0]
            if not running:
                return
            (stream, *_), _ = self._ray.wait(list(running), num_returns=1)
            result = self._advance(running, stream)
            if result:
                yield result

    def _window(self):
        cores = self._ray.cluster_resources().get("CPU", 1)
        return max(_AHEAD, int(_AHEAD * cores / self._threads))

    def _tasks(self, jobs):
        """Yield (item, Ray's stream of what it becomes), or a Result where there is no task."""
        for job in jobs:
            try:
                item = self._planned(job)
                if isinstance(item, Result):
                    yield item
                    continue
                for span in (spans := item.spans):
                    if item.over or item.spans is not spans:
                        break
                    yield item, self._submit(item, span)
            except (InputError, OSError) as error:
                yield failed(job, error)

    def _planned(self, job):
        if job.output.exists() and not self._overwrite:
            tidy(job)
            return Result(job, "skipped")
        item = _Film(job, self._upscaler, self._work.video, self._overwrite) if job.video else None
        if item is None or not item.cut:
            item = _File(job)
        elif not item.spans:
            return item.joined()
        content = job.source.read_bytes() if self._ship else None
        item.source = self._ray.put(content) if self._ship else str(job.source.absolute())
        return item

    def _submit(self, item, span):
        if span is None:
            return self._make_file.remote(self._shared, item.source, item.job.source.suffix,
                                          item.job.output.name, item.job.video)
        return self._make_segments.remote(
            self._shared, item.source, item.job.source.suffix, item.container, span, item.kept)

    def _advance(self, running, stream):
        """Take the next of what a task gives; the Result where its job is done by that."""
        item = running[stream]
        try:
            self._bar.update(item.take(self._ray.get(next(stream))))
        except StopIteration:
            del running[stream]
            if not item.broken:
                return item.finished()
            self._drop(running, item)
            running[self._submit(item, item.anew())] = item
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, (InputError, OSError, MemoryError)):
                raise  # a bug of ours
            return self._failed(running, item, error.cause)
        except (InputError, OSError, self._ray.exceptions.RayError) as error:
            return self._failed(running, item, error)
        return None

    def _failed(self, running, item, error):
        item.over = True
        self._drop(running, item)
        if item.cut:
            item.parts.leave()
        return failed(item.job, error)

    def _drop(self, running, item):
        for stream in [stream for stream, its in running.items() if its is item]:
            del running[stream]
            self._ray.cancel(stream)


class _File:
    """A picture, or a film that is not cut: one task makes all of it."""

    spans, broken, over, cut = (None,), False, False, False

    def __init__(self, job):
        self.job, self.outcome, self._begin = job, None, time.perf_counter()

    def take(self, made):
        """Write the file; how many frames it has."""
        content, self.outcome = made
        with atomic_write(self.job.output) as temporary:
            temporary.write_bytes(content)
        return self.outcome.frames or 1

    def finished(self):
        """Its Result."""
        return Result(self.job, "done", self.outcome, time.perf_counter() - self._begin)


class _Film:
    """A film that several tasks may make.

    Attributes
    ----------
    cut : bool, whether it is made in segments
    spans : list of Span, those that no task has made yet
    kept : frozenset of int, segments that were there
    broken : bool, whether its segments have to be made anew, by one task
    over : bool, whether it failed
    """

    broken = over = cut = False

    def __init__(self, job, upscaler, options, overwrite):
        self.job, self.outcome, self._begin = job, Outcome(), time.perf_counter()
        self.container = CONTAINERS[job.output.suffix.lower()]
        with open_video(job.source, self.outcome) as reader:
            self._frames = Frames(reader, upscaler, self.container, options, self.outcome)
            if not worth_cutting(job.source, job.output, reader, self._frames, options.segment,
                                 self.outcome):
                return
            self.cut = True
            self.parts = open_parts(job.source, job.output, self._frames, options, overwrite)
            self._records, end = self.parts.whole(), self.parts.end()
            self.kept = frozenset(self._records)
            complete = end and self.kept >= set(end.segments)
            self.spans = [] if complete else _spans(reader, options.segment, self.kept)
        self._end = end if complete else None
        self._seen, self._decoded = set(self.kept), None
        self._open = len(self.spans)

    def take(self, made):
        """Write a segment, or note what a task has seen; how many frames came."""
        if isinstance(made, Made):
            self.parts.put(made.number, made.content, made.record)
            self._records[made.number] = made.record
            return made.record.frames
        self._seen |= set(made.numbers)
        self.outcome.warn_all(made.warnings)
        whole, flaws = self.spans == [Span()], replace(made.decoded, frames=0)
        self._decoded = made.decoded if whole else None
        self.broken = not whole and flaws != Decoded()
        return 0

    def anew(self):
        """Forget all segments; the span of one task that decodes the film from its beginning.

        Damage is patched by what was decoded before it: only so each frame is as in one piece.
        """
        self.broken, self.kept, self.spans, self._open = False, frozenset(), [Span()], 1
        for number in self._records:
            self.parts.forget(number)
        self._records, self._seen = {}, set()
        return Span()

    def finished(self):
        """Its Result, if no task is left."""
        self._open -= 1
        if self._open:
            return None
        frames = sum(record.frames for record in self._records.values())
        self._end = End(sorted(self._seen), vars(self._decoded or Decoded(frames)),
                        self.outcome.warnings)
        self.parts.note_end(self._end)
        return self.joined()

    def joined(self):
        """Its Result, once its segments are joined."""
        self.outcome.segments = len(self._end.segments)
        self.outcome.kept = len(self.kept)
        try:
            join(self.job.source, self.container, self._frames, self.parts, self.outcome)
        except (InputError, OSError) as error:
            return failed(self.job, error)
        return Result(self.job, "done", self.outcome, time.perf_counter() - self._begin)


def _spans(reader, seconds, kept):
    """A span for each segment that is to be made; one for the whole film where it is not sought."""
    length = reader.seconds()
    if length is None or not reader.can_seek():
        return [Span()]
    count = max(1, math.ceil(length / seconds))
    numbers = [number for number in range(count - 1) if number not in kept]
    return [*(Span(number, number + 1) for number in numbers), Span(count - 1)]


def make_file(work, source, suffix, name, video):
    """Enlarge a picture or a film: on any machine of the cluster.

    Parameters
    ----------
    work : Work
    source : str, path; or bytes of the input
    suffix : str, of its name
    name : str, of the output
    video : bool

    Yields
    ------
    (bytes, Outcome), the output's file
    """
    with tempfile.TemporaryDirectory() as folder:
        output, source = Path(folder) / name, _path_of(source, suffix, Path(folder))
        options = work.video
        if video:
            from elsr_paddle.enlarge.video import transcode

            outcome = transcode(source, output, _upscaler(work), **{**vars(options), "segment": 0})
        else:
            from elsr_paddle.enlarge.pictures import upscale_picture

            outcome = upscale_picture(source, output, _upscaler(work), layout=options.layout)
        yield output.read_bytes(), outcome


def make_segments(work, source, suffix, container, span, kept):
    """Enlarge some segments of a film: on any machine of the cluster.

    Parameters
    ----------
    work, source, suffix : see `make_file`
    container : str, FFmpeg's name of the output's
    span : Span
    kept : frozenset of int, segments in it that are there

    Yields
    ------
    Made for each segment, then Looked
    """
    outcome, seconds, numbers = Outcome(), Fraction(work.video.segment), []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        source = _path_of(source, suffix, folder)
        reader = stack.enter_context(open_video(source, outcome))
        reader.stream.codec_context.thread_count = work.video.threads or 0
        frames = Frames(reader, _upscaler(work), container, work.video, outcome)
        if span.first and not reader.seek(span.first * seconds):
            reader = stack.enter_context(open_video(source, outcome))
        found = segments(reader, frames, seconds,
                         lambda number: span.holds(number) and number not in kept,
                         tqdm(disable=True))
        stack.enter_context(closing(found))
        for number, content in found:
            if number >= span.first and not span.holds(number):
                break
            if not span.holds(number):
                continue
            numbers.append(number)
            if number not in kept:
                part = folder / "part.nut"
                record = encode(content, part, reader.stream, frames)
                yield Made(number, part.read_bytes(), record)
        yield Looked(numbers, reader.decoded, outcome.warnings)


def _path_of(source, suffix, folder):
    """Path of an input; one that came as bytes is written into a folder."""
    if isinstance(source, str):
        return Path(source)
    path = folder / f"input{suffix}"
    path.write_bytes(source)
    return path


@lru_cache(maxsize=1)
def _upscaler(work):
    """The engines of a run, kept by the process from one task to the next."""
    def load(scale):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            path.write_bytes(dict(work.weights)[scale])
            return make_engine(read(path), work.engine)

    return Upscaler(load, dict(work.weights), work.target, work.max_pixels)
