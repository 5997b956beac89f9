"""Keep what was measured as records, average them, and write them as JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from elsr_paddle.evaluation.protocol import Score
from elsr_paddle.files import atomic_write

BICUBIC = "bicubic"  # the method that every network is compared with


@dataclass(frozen=True)
class NetworkScore(Score):
    """The score of a network's image.

    Attributes
    ----------
    psnr_against_bicubic_db : float, PSNR with bicubic's image as reference: the column of
        ELSR-torch, which says nothing about quality.
    """

    psnr_against_bicubic_db: float


@dataclass(frozen=True)
class Record:
    """The scores of one image or frame.

    Attributes
    ----------
    name : str
    width, height : int, pixels of HR
    scores : dict, method -> Score: `BICUBIC` first, then every network by its name
    flicker_db : dict, method -> `protocol.flicker` since the frame before, None in the first frame
        of a clip; empty for stills
    """

    name: str
    width: int
    height: int
    scores: dict[str, Score]
    flicker_db: dict[str, float | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON: the methods beside the name and the size."""
        methods = {method: asdict(found) for method, found in self.scores.items()}
        for method, flicker_db in self.flicker_db.items():
            methods[method]["flicker_db"] = flicker_db
        return {"name": self.name, "width": self.width, "height": self.height, **methods}


@dataclass(frozen=True)
class Summary:
    """The records of a set or clip, and the means of their scores.

    Attributes
    ----------
    mean : dict, method -> Score
    items : tuple of Record
    flicker_db : dict, method -> mean over the frames that have one; empty for stills and for a
        single frame
    """

    mean: dict[str, Score]
    items: tuple[Record, ...]
    flicker_db: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        means = {method: asdict(found) for method, found in self.mean.items()}
        for method, flicker_db in self.flicker_db.items():
            means[method]["flicker_db"] = flicker_db
        return {"mean": means, "items": [record.as_dict() for record in self.items]}


def summarise(records: Sequence[Record]) -> Summary:
    """The mean of every figure over the records of one set or clip, and the records.

    The mean of a PSNR is the mean of the images' values in dB. Images that one of the methods
    restores without any error (PSNR inf; black frames do that) are left out of the PSNR means of
    all of them, so that the means stay finite and over the same images.

    Parameters
    ----------
    records : sequence of Record, not empty, all with the same methods

    Returns
    -------
    Summary; a mean PSNR is inf if no image with finite ones is left.
    """
    finite = [record for record in records
              if all(math.isfinite(found.psnr_db) for found in record.scores.values())]
    mean = {method: _mean_score(method, finite, records) for method in records[0].scores}
    return Summary(mean, tuple(records), _mean_flicker(records))


def _mean_flicker(records):
    """Of each method, over all frames but the first."""
    later = [record.flicker_db for record in records if None not in record.flicker_db.values()]
    return {method: _mean(found[method] for found in later) for method in (later or [{}])[0]}


def _mean_score(method, finite, records):
    """A Score of the same kind as the records hold, each field averaged."""
    kind = type(records[0].scores[method])
    means = {figure.name: _mean(getattr(record.scores[method], figure.name)
                                for record in (finite if figure.name == "psnr_db" else records))
             for figure in fields(kind)}
    return kind(**means)


def _mean(values: Iterable[float]):
    """Mean of the finite values; inf if there is none."""
    values = [value for value in values if math.isfinite(value)]
    return math.fsum(values) / len(values) if values else math.inf


def write_json(path: str | Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON; an infinite PSNR (equal images) becomes null.

    JSON has no word for infinity, and what Python writes for it other readers refuse.

    Parameters
    ----------
    path : str or Path
    figures : nested dicts and lists; in them may stand records with a method `as_dict`.
    """
    with atomic_write(path) as temporary:
        text = json.dumps(_as_json(figures), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _as_json(value):
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(path: str | Path, records: Sequence[Record]) -> None:
    """Write records as a table, a line each and a column for each figure: `bicubic_psnr_db`, ..."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = [_row(record) for record in records]
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _row(record):
    row = {"name": record.name, "width": record.width, "height": record.height}
    for method, found in record.scores.items():
        row.update({f"{method}_{figure}": value for figure, value in asdict(found).items()})
    row.update({f"{method}_flicker_db": value for method, value in record.flicker_db.items()})
    return row
