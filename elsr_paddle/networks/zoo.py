"""Find files of weights: those that ship, those that were trained here, and which one fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elsr_paddle.errors import InputError
from elsr_paddle.networks.weights import degradation_of, read_metadata

SHIPPED = Path(__file__).parents[1] / "weights"
# The ladder of networks to enlarge with, the fastest first: each takes some five times as long as
# the one before and restores more.
LADDER = {"fast": "elsr-y", "balanced": "elsr-m", "best": "elsr-l"}
# What a picture or film was, before anybody enlarged it -> how LR of that kind is made. A JPEG's
# file tells more of its compression than a film's.
SOURCES = {"clean": "bicubic", "compressed": "compressed", "jpeg": "jpeg", "aliased": "aliased"}
DEBLOCKED = frozenset({"compressed", "jpeg"})  # of these kinds networks take a JPEG deblocked
# How LR is made -> the mixture of ways that it is one of.
_WIDER = {"opencv_cubic": "aliased", "opencv_linear": "aliased"}
DEFAULT = LADDER["fast"]  # half a dB better than the paper's network, and as fast
BEST = "best.safetensors"  # what a stage of training leaves in its folder


@dataclass(frozen=True)
class Entry:
    """A file of weights, by its metadata.

    Attributes
    ----------
    path : Path
    model : str, a name in `networks.NETWORKS`
    scale : int
    degradation : str, how the LR was made that it is for
    stage : int, of training under `out`; 0 for a file that ships
    """

    path: Path
    model: str
    scale: int
    degradation: str
    stage: int = 0

    @property
    def name(self) -> str:
        """What --model calls it: that of a file that ships without the scale, else the model's."""
        return self.model if self.stage else self.path.stem.rpartition("_x")[0]


def available(out: Path | None = None) -> tuple[list[Entry], list[str]]:
    """The files that ship, and those that `train` left in a folder.

    Parameters
    ----------
    out : Path, with stage1/best.safetensors and so on; None leaves them out.

    Returns
    -------
    entries : list of Entry, those that ship first, then by stage
    damaged : list of str, a line on each file that cannot be read
    """
    files = [(path, 0) for path in sorted(SHIPPED.glob("*.safetensors"))]
    if out is not None:
        files += [(path, _stage(path)) for path in sorted(out.glob(f"stage*/{BEST}"))]
    entries, damaged = [], []
    for path, stage in files:
        try:
            entries.append(_entry(path, stage))
        except InputError as error:
            damaged.append(str(error))
    return entries, damaged


def _stage(path):
    number = path.parent.name.removeprefix("stage")
    return int(number) if number.isdecimal() else 1


def _entry(path, stage):
    metadata = read_metadata(path)
    scale = metadata["config"].get("scale", 1)
    return Entry(path, metadata["model"], scale, degradation_of(metadata), stage)


def choose(
    entries: Iterable[Entry],
    model: str,
    scale: int,
    degradation: str = "bicubic",
    *,
    shipped_first: bool = False,
) -> Entry | None:
    """The file for a model at a scale, or None.

    For LR of the kind that is asked for, if any is, else for a mixture that has it; of those the
    one of the highest stage of training, and what ships only where nothing was trained, or the
    other way round. Where nothing is for LR of that kind, a network of that very name goes before
    `elsr-y-aliased` and the like.

    Parameters
    ----------
    entries : iterable of Entry
    model : str, as `Entry.name`
    scale : int
    degradation : str, how LR is made
    shipped_first : bool, whether what ships goes before what was trained
    """
    fitting = [entry for entry in entries
               if entry.scale == scale and model in (entry.name, entry.model)]

    def rank(entry):
        trained_first = (entry.stage > 0) != shipped_first
        wider = entry.degradation == _WIDER.get(degradation)
        return (entry.degradation == degradation, wider, trained_first, entry.stage,
                entry.name == model)

    return max(fitting, key=rank, default=None)


def of_quality(
    entries: Iterable[Entry], quality: str, source: str = "clean"
) -> dict[int, Path]:
    """The file for each scale of a quality, among those that ship.

    Where its own network does not ship, it is the next one below on the ladder, else the next one
    above. Where none ships for such a source, it is that for a clean one.

    Parameters
    ----------
    entries : iterable of Entry
    quality : str, a key of `LADDER`
    source : str, a key of `SOURCES`

    Returns
    -------
    dict of int, scale -> Path; empty where no network of the ladder ships

    Raises
    ------
    InputError for another quality or source.
    """
    if quality not in LADDER:
        raise InputError(f"expected a quality of {', '.join(LADDER)} but got {quality!r}")
    rungs = list(LADDER.values())
    own = rungs.index(LADDER[quality])
    preferred = [*rungs[own::-1], *rungs[own + 1:]]
    there = on_ladder(entries, source)
    there.sort(key=lambda entry: preferred.index(entry.model), reverse=True)
    return {entry.scale: entry.path for entry in there}  # of one scale, the last is kept


def on_ladder(entries: Iterable[Entry], source: str) -> list[Entry]:
    """The networks of the ladder that ship for a source; those for clean ones where none does.

    Raises
    ------
    InputError for another source.
    """
    if source not in SOURCES:
        raise InputError(f"expected a source of {', '.join(SOURCES)} but got {source!r}")
    rungs = [entry for entry in entries if entry.model in LADDER.values() and not entry.stage]
    found = [entry for entry in rungs if entry.degradation == SOURCES[source]]
    return found or [entry for entry in rungs if entry.degradation == SOURCES["clean"]]


def of_qualities(
    entries: Iterable[Entry], source: str = "clean", only: str | None = None
) -> dict[str, dict[int, Path]]:
    """As `of_quality`, for each quality, the fastest first, or for one; empty where nothing ships.
    """
    entries = list(entries)
    found = {quality: of_quality(entries, quality, source)
             for quality in (LADDER if only is None else [only])}
    return {quality: files for quality, files in found.items() if files}


def find(model_or_path: str | Path, scale: int | None = None) -> Path:
    """The file of weights that a path, or the name of a network that ships, means.

    Parameters
    ----------
    model_or_path : str or Path; a name has neither a suffix nor a folder.
    scale : int or None; None takes x4 among those that ship.

    Raises
    ------
    InputError for a name that does not ship at that scale; it lists those that do.
    """
    path = Path(model_or_path)
    if path.suffix or path.name != str(model_or_path):
        return path
    entries, _ = available()
    found = [entry for entry in entries if (entry.name, entry.scale) == (path.name, scale or 4)]
    if not found:
        known = ", ".join(f"{entry.name} x{entry.scale}" for entry in entries) or "none"
        raise InputError(f"expected a file of weights or a network that ships ({known}) "
                         f"but got {model_or_path} x{scale or 4}")
    return found[0].path


def find_quality(quality: str, scale: int | None = None, source: str = "clean") -> Path:
    """The file of weights of a quality for a source, among those that ship; None takes x4.

    Raises
    ------
    InputError for another quality or source, or a scale at which no such network ships.
    """
    files = of_quality(available()[0], quality, source)
    if (scale or 4) not in files:
        raise InputError(f"expected a scale of {', '.join(map(str, sorted(files))) or 'none'} for "
                         f"the quality {quality} but got {scale or 4}")
    return files[scale or 4]
