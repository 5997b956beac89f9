"""Show figures as tables of text, with what others have published beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.inspection import ValueRange
from elsr_paddle.evaluation.published import published
from elsr_paddle.evaluation.results import BICUBIC, Summary
from elsr_paddle.evaluation.timing import Speed


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of figures as an aligned table, readable in a terminal and in Markdown alike.

    Parameters
    ----------
    headers : sequence of str, one per column
    rows : sequences of str, int, float or None; floats get two decimals, None "-".

    Returns
    -------
    str without a final newline; the first column is flush left, the others flush right.

    Raises
    ------
    InputError if a row has another length than the headers.
    """
    lines = [list(headers), *([_cell(value) for value in row] for row in rows)]
    if any(len(line) != len(headers) for line in lines):
        raise InputError(f"expected rows of {len(headers)} cells but got {[len(x) for x in lines]}")
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_table_line(line, widths) for line in [lines[0], rule, *lines[1:]])


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, (float, np.floating)) else str(value)


def _table_line(cells, widths):
    first = cells[0].ljust(widths[0])
    others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))
    return "| " + " | ".join([first, *others]) + " |"


def scores_table(summary: Summary, network: str) -> str:
    """A row for each image or frame, and their mean, of bicubic and one network."""
    rows = [_scores_row(record.name, record.scores, network) for record in summary.items]
    return _scores_table("picture", [*rows, _scores_row("mean", summary.mean, network)], network)


def means_table(summary: Summary, network: str) -> str:
    """The last row of `scores_table` alone, and the flicker: a clip has too many frames to list."""
    name = f"mean of {len(summary.items)} frames"
    flicker = [summary.flicker_db.get(method) for method in (BICUBIC, network)]
    row = [*_scores_row(name, summary.mean, network), *flicker]
    return _scores_table("clip", [row], network,
                         ["bicubic flicker dB", f"{network.upper()} flicker dB"])


def _scores_table(what, rows, network, more=()):
    label = network.upper()
    headers = [what, "bicubic dB", "SSIM", f"{label} dB", "SSIM", f"{label} vs bicubic dB", *more]
    return table(headers, rows)


def _scores_row(name, scores, network):
    bicubic, ours = scores[BICUBIC], scores[network]
    return [name, bicubic.psnr_db, f"{bicubic.ssim:.4f}", ours.psnr_db, f"{ours.ssim:.4f}",
            ours.psnr_against_bicubic_db]


def benchmark_table(
    sets: dict[str, Summary], parameters: dict[str, int], *, scale: int, comparable: bool
) -> str:
    """A row for each method, a column for each set: PSNR in dB / SSIM.

    Parameters
    ----------
    sets : dict, name of the set -> Summary
    parameters : dict, name of each network in the summaries -> number of its parameters
    scale : int, of the networks
    comparable : bool, whether published figures may stand beside ours: LR by MATLAB's bicubic, PSNR
        on Y without the border.
    """
    rows = [_measured_row(BICUBIC, "-", sets, BICUBIC)]
    rows += [_measured_row(network.upper(), f"{count:,}", sets, network)
             for network, count in parameters.items()]
    rows += [_published_row(row, sets) for row in published(scale, sets) if comparable]
    return table([f"x{scale}", "parameters", *sets, "source"], rows)


def _measured_row(label, parameters, sets, method):
    means = [summary.mean[method] for summary in sets.values()]
    cells = [f"{mean.psnr_db:.2f} / {mean.ssim:.4f}" for mean in means]
    return [label, parameters, *cells, "this run"]


def _published_row(row, sets):
    return [row.method, row.parameters, *(row.psnr_db.get(name) for name in sets), row.source]


def clips_table(
    clips: dict[str, Summary],
    networks: Sequence[str],
    others: Sequence[tuple[str, dict[str, float]]] = (),
) -> str:
    """A row for each clip, a column for each method: the mean PSNR of its frames, dB.

    Parameters
    ----------
    clips : dict, name of the clip -> Summary
    networks : sequence of str, names in the summaries
    others : sequence of (label, dict of name of a clip -> dB), columns of figures from elsewhere
    """
    rows = [
        [name, len(summary.items),
         *(summary.mean[method].psnr_db for method in (BICUBIC, *networks)),
         *(found.get(name) for _, found in others)]
        for name, summary in clips.items()
    ]  # fmt: skip
    labels = [*(network.upper() for network in networks), *(label for label, _ in others)]
    return table(["clip", "frames", BICUBIC, *labels], rows)


def speed_table(speed: Speed) -> str:
    """Frames per second: of the network alone, of an image in memory, and of PNG files."""
    size = f"{speed.lr_width}x{speed.lr_height} LR"
    kinds = {
        "the network alone, tensor to tensor": speed.network,
        "uint8 image to uint8 image": speed.image_to_image,
        "PNG file to PNG file": speed.file_to_file,
    }
    rows = [[f"{words}, {size}", timed.fps, timed.frames] for words, timed in kinds.items()]
    return table(["speed (median, after warm-up)", "frames/s", "frames"], rows)


def ranges_table(ranges: Iterable[ValueRange]) -> str:
    """A row for each operation of a network: the range of its weights, biases and outputs."""
    rows = [[found.layer, *map(_between, (found.weights, found.biases, found.outputs))]
            for found in ranges]
    return table(["layer", "weights", "biases", "outputs"], rows)


def _between(span):
    return None if span is None else f"{span[0]:.2f} .. {span[1]:.2f}"
