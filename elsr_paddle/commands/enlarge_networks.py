"""Find the networks that the options of `elsr` name, and load those that are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from elsr_paddle.commands.shared import OUT, say, say_of, warn
from elsr_paddle.commands.variations import variations
from elsr_paddle.errors import InputError

if TYPE_CHECKING:
    from elsr_paddle.enlarge.sizes import Upscaler


class Networks:
    """The networks that the arguments name, and those that were used.

    Parameters
    ----------
    args : argparse.Namespace of `build_parser`
    jobs : list of Job, to tell how much work there is

    Attributes
    ----------
    used : dict of Path, weights -> engine
    """

    def __init__(self, args, jobs):
        self._args, self._jobs, self.used = args, jobs, {}
        self._told = bool(args.model or args.weights) or args.source != "auto"
        self._of_kind = {}  # kind of source -> what `_for` made for it
        self._for("clean" if args.source == "auto" else args.source)  # refuses what is not there

    @property
    def best_name(self):
        """The name of the best network that was used."""
        return next((self.used[path].model_name for made in self._of_kind.values()
                     for path in list(made.files.values())[-1].values() if path in self.used),
                    "network")

    def choose(self, job, options):
        """How a job is done: a Choice.

        Parameters
        ----------
        job : Job
        options : dict, fields of `VideoOptions`, for a film
        """
        from elsr_paddle.enlarge.batch import Choice

        source = self.source(job)
        told = self.told(source)
        made = self._for(source.kind)
        if not job.video or len(made.upscalers) == 1:
            return Choice(made.best, "", told)
        from elsr_paddle.enlarge.quality import choose_for_film
        from elsr_paddle.video.encoder import VideoOptions

        say = partial(say_of, job.source)
        if told:
            say(f"source {told}")
        found = choose_for_film(job.source, job.output, made.upscalers, VideoOptions(**options),
                                say, source.kind)
        return Choice(*found, told)

    def source(self, job):
        """Of what kind a job's input is, and why: a Source."""
        from elsr_paddle.enlarge.source import Source, source_of

        if self._told:
            named = self._args.source != "auto"
            return Source(self._args.source if named else "clean", "as asked for")
        return source_of(job.source, job.video)

    def told(self, source):
        """A Source in words; empty where the arguments named it or a network."""
        return "" if self._told else str(source)

    def _for(self, kind):
        """The networks that may be taken for a kind of source: a _Made."""
        if kind not in self._of_kind:
            files = self._all_files(kind)
            upscalers = {quality: self._upscaler(found) for quality, found in files.items()}
            self._of_kind[kind] = _Made(files, upscalers)
        return self._of_kind[kind]

    def _all_files(self, kind):
        """The files that may be taken, the fastest network's first: quality -> scale -> file."""
        from elsr_paddle.networks import zoo

        args = self._args
        if args.weights:
            return {"": {self._engine(args.weights).scale: args.weights}}
        files = {} if args.model else zoo.of_qualities(zoo.available()[0], kind, args.quality)
        files = files or {"": weights_of(args.model)}
        return {quality: _of_x2(found) for quality, found in files.items()} \
            if args.passes > 1 else files

    def _upscaler(self, files):
        """An Upscaler for the size that is wanted."""
        from elsr_paddle.enlarge.sizes import Upscaler

        return Upscaler(lambda scale: self._engine(files[scale]), files, self._target(files),
                        self._args.max_pixels)

    def work(self, kind, encoder):
        """The best network for a kind of source, here and for machines of a cluster.

        Parameters
        ----------
        kind : str, of the source
        encoder : dict, fields of `VideoOptions` that were given

        Returns
        -------
        Upscaler, Work
        """
        from elsr_paddle.enlarge.cluster import Work
        from elsr_paddle.video.encoder import VideoOptions

        made = self._for(kind)
        *_, files = made.files.values()
        threads = self._args.threads or 1
        weights = tuple((scale, path.read_bytes()) for scale, path in sorted(files.items()))
        video = VideoOptions(layout=self._args.compare, threads=threads, **encoder)
        return made.best, Work(weights, self._options(threads), self._target(files),
                               self._args.max_pixels, video)

    def _target(self, files):
        from elsr_paddle.enlarge.sizes import Target

        default = None if self._args.size or self._args.fit else max(files)
        return Target(self._args.scale or default, self._args.size, self._args.fit)

    def _options(self, threads):
        from elsr_paddle.engines.engine import EngineOptions
        from elsr_paddle.enlarge.batch import lr_pixels

        args = self._args
        return EngineOptions(args.engine, args.device, threads, args.max_pixels,
                             lr_pixels(self._jobs), **variations(args))

    def _engine(self, path):
        if path not in self.used:
            self.used[path] = self._load(path)
        return self.used[path]

    def _load(self, path):
        from elsr_paddle.engines.choose import make_engine
        from elsr_paddle.networks.weights import read

        engine = make_engine(read(path), self._options(self._args.threads))
        say(f"engine {engine.name} on {engine.device} ({engine.reason}), "
            f"{engine.model_name} x{engine.scale} of {path}")
        return engine


@dataclass(frozen=True)
class _Made:
    """What there is for one kind of source, the fastest network first.

    Attributes
    ----------
    files : dict, quality -> scale -> file
    upscalers : dict, quality -> Upscaler
    """

    files: dict[str, dict[int, Path]]
    upscalers: dict[str, Upscaler]

    @property
    def best(self):
        """The Upscaler of the best network."""
        return list(self.upscalers.values())[-1]


def _of_x2(files):
    """The file for x2 alone, as that of x4: it is run twice."""
    if 2 not in files:
        raise InputError("expected weights for x2 for --passes 2 but there are none; leave it out, "
                         "or choose another network")
    return {4: files[2]}


def weights_of(model: str | None) -> dict[int, Path]:
    """The file for each scale of a model: what ships, else what `train` left under out/.

    Without a model, `zoo.DEFAULT`.

    Raises
    ------
    InputError if there is no such model, or none of its weights are at hand.
    """
    from elsr_paddle.networks import NETWORKS, zoo

    model = model or zoo.DEFAULT
    entries, damaged = zoo.available(OUT)
    for line in damaged:
        warn(line)
    scales = sorted({entry.scale for entry in entries})
    found = {scale: zoo.choose(entries, model, scale, shipped_first=True) for scale in scales}
    files = {scale: entry.path for scale, entry in found.items() if entry}
    if files:
        return files
    known = ", ".join(sorted({entry.name for entry in entries}))
    if model in NETWORKS:
        raise InputError(f"no weights of {model} ship and none were trained under {OUT}/; take one "
                         f"of {known}, or train it: elsr train --model {model} --help")
    raise InputError(f"expected a model of {known} but got {model!r}; `elsr models` lists them")
