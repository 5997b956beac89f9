"""Summaries of evaluations as tables of text, with what others have published beside them."""

from __future__ import annotations

from elsr_paddle.evaluation.figures import table
from elsr_paddle.evaluation.published import published


def scores_table(figures, model_name):
    """A row for each picture or frame, and their mean.

    Parameters
    ----------
    figures : dict, from `evaluation.summary`
    model_name : str

    Returns
    -------
    str
    """
    return _table("picture", [*figures["items"], _mean(figures)], model_name)


def means_table(figures, model_name):
    """The last row of `scores_table` alone: a clip has too many frames to list."""
    frames = len(figures["items"])
    return _table("clip", [{**_mean(figures), "name": f"mean of {frames} frames"}], model_name)


def _mean(figures):
    return {"name": "mean", **figures["mean"]}


def _table(what, records, model_name):
    label = model_name.upper()
    headers = [what, "bicubic dB", "SSIM", f"{label} dB", "SSIM", f"{label} vs bicubic dB"]
    return table(headers, [_scores_row(record, model_name) for record in records])


def _scores_row(record, model_name):
    bicubic, network = record["bicubic"], record[model_name]
    return [
        record["name"],
        bicubic["psnr_db"], _four_decimals(bicubic["ssim"]),
        network["psnr_db"], _four_decimals(network["ssim"]),
        network["psnr_against_bicubic_db"],
    ]  # fmt: skip


def _four_decimals(ssim):
    return f"{ssim:.4f}"


def benchmark_table(sets, parameters, *, scale, comparable):
    """A row for each method, a column for each set: PSNR in dB / SSIM.

    Parameters
    ----------
    sets : dict, name of the set -> dict from `evaluation.summary`
    parameters : dict, name of each network in the summaries -> int
    scale : int, of the networks
    comparable : bool, whether published figures may stand beside ours: LR by MATLAB's bicubic, PSNR
        on Y without the border.

    Returns
    -------
    str
    """
    rows = [_measured_row("bicubic", "-", sets, "bicubic")]
    rows += [_measured_row(model.upper(), f"{count:,}", sets, model)
             for model, count in parameters.items()]
    rows += [_published_row(row, sets) for row in published(scale, sets) if comparable]
    return table([f"x{scale}", "parameters", *sets, "source"], rows)


def _measured_row(label, parameters, sets, method):
    means = [figures["mean"][method] for figures in sets.values()]
    cells = [f"{mean['psnr_db']:.2f} / {mean['ssim']:.4f}" for mean in means]
    return [label, parameters, *cells, "this run"]


def _published_row(row, sets):
    return [row.method, row.parameters, *(row.psnr_db.get(name) for name in sets), row.source]


_SPEEDS = {
    "network": "the network alone, tensor to tensor",
    "image_to_image": "uint8 image to uint8 image",
    "file_to_file": "PNG file to PNG file",
}


def speed_table(speed):
    """Frames per second in each sense; `speed` is the dict of `timing.measure`."""
    size = f"{speed['lr_width']}x{speed['lr_height']} LR"
    rows = [
        [f"{words}, {size}", speed[name]["fps"], speed[name]["frames"]]
        for name, words in _SPEEDS.items()
    ]
    return table(["speed (median, after warm-up)", "frames/s", "frames"], rows)


def clips_table(clips, models, others=()):
    """A row for each clip, a column for each method: the mean PSNR of its frames, dB.

    Parameters
    ----------
    clips : dict, name of the clip -> dict from `evaluation.summary`
    models : sequence of str, the networks in the summaries
    others : sequence of (label, dict of name of a clip -> dB), columns of figures from elsewhere

    Returns
    -------
    str
    """
    rows = [
        [name, len(figures["items"]),
         *(figures["mean"][method]["psnr_db"] for method in ("bicubic", *models)),
         *(found.get(name) for _, found in others)]
        for name, figures in clips.items()
    ]  # fmt: skip
    labels = [*(model.upper() for model in models), *(label for label, _ in others)]
    return table(["clip", "frames", "bicubic", *labels], rows)


def ranges_table(ranges):
    """What the layers of a network hold; `ranges` is the list of `quality.value_ranges`."""
    rows = [
        [found["layer"], *(_between(found[name]) for name in ("weights", "biases", "outputs"))]
        for found in ranges
    ]
    return table(["layer", "weights", "biases", "outputs"], rows)


def _between(span):
    return None if span is None else f"{span[0]:.2f} .. {span[1]:.2f}"
