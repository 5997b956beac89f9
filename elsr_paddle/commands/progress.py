"""Show how far work is: a bar in a terminal, a line every few seconds elsewhere, or JSON.

tqdm counts and estimates; here only what it writes is chosen.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tqdm import tqdm

SECONDS = 5  # between two lines where there is no terminal


class _Lines(tqdm):
    """A line for each report, for logs and pipes."""

    @staticmethod
    def status_printer(file):
        def write(text):
            if text.strip():
                file.write(f"{text}\n")
                file.flush()

        return write

    def close(self):
        """End without a last line: the summary of the command says the rest."""
        self.disable = True
        super().close()


class _JSONLines(_Lines):
    """A JSON object for each report, on standard output."""

    def display(self, msg=None, pos=None):
        """Write the figures, not tqdm's text."""
        figures = self.format_dict
        rate = figures["rate"]
        left = None if not (rate and self.total) else (self.total - self.n) / rate
        line = {"event": "progress", "name": self.desc.rstrip(": "), "done": self.n,
                "total": self.total, "unit": self.unit.strip(),
                "seconds": round(figures["elapsed"], 1),
                "seconds_left": None if left is None else round(left, 1)}
        print(json.dumps(line), flush=True)


def bar(items: Any = None, *, kind: str = "auto", desc: str = "", unit: str = "items",
        total: int | None = None, file: Any = None) -> tqdm:
    """A progress bar as tqdm's: over items, or to be told by `update(n)`.

    Parameters
    ----------
    items : iterable, or None
    kind : str of `shared.PROGRESS`
    desc : str, what is worked on
    unit : str, what is counted
    total : int, or None where that is not known
    file : text file for bars and lines; None for standard error
    """
    file = file or sys.stderr
    options = {"desc": desc or None, "unit": f" {unit}", "total": total, "file": file}
    if kind == "none":
        return tqdm(items, disable=True, **options)
    if kind == "json":
        return _JSONLines(items, mininterval=1, **{**options, "desc": desc})
    if file.isatty():
        return tqdm(items, leave=False, **options)
    lines = "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_fmt}, {remaining} left"
    return _Lines(items, mininterval=SECONDS, maxinterval=SECONDS, delay=SECONDS,
                  bar_format=lines, **options)
