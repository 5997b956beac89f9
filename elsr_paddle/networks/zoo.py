"""Find files of weights: those that ship, those that were trained here, and which one fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elsr_paddle.errors import InputError
from elsr_paddle.networks.weights import degradation_of, read_metadata

SHIPPED = Path(__file__).parents[1] / "weights"
DEFAULT = "elsr-y"  # to enlarge with: half a dB better than the paper's network, and as fast
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

    For LR of the kind that is asked for, if any is; of those the one of the highest stage of
    training, and what ships only where nothing was trained, or the other way round. Where nothing
    is for LR of that kind, a network of that very name goes before `elsr-aliased` and the like.

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
        return entry.degradation == degradation, trained_first, entry.stage, entry.name == model

    return max(fitting, key=rank, default=None)


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
