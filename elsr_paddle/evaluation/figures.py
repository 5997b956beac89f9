"""What is shown to people: text tables, training curves, comparisons of pictures.

Drawn with matplotlib's Agg canvas through Figure objects, never through pyplot: no window, no state
shared with a notebook. Every picture is written whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write

# Okabe and Ito's palette, told apart by colour-blind readers; lines differ in dashes as well.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("--", "-", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
BICUBIC_COLOUR, SR_COLOUR = COLOURS[:2]
_DPI = 120


def table(headers, rows):
    """Rows of figures as an aligned table, readable in a terminal and in Markdown alike.

    Parameters
    ----------
    headers : sequence of str, one per column.
    rows : sequence of sequences of str, int, float or None; floats get two decimals, None "-".

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


def losses_figure(path, runs):
    """Draw the loss and the validation PSNR of several stages side by side, a column each.

    A column has its own axes: stages differ in scale (x2, x4) and in loss (L1, L2), so that common
    axes would flatten the gain over bicubic that the picture is there to show.

    Parameters
    ----------
    path : str or Path of the PNG.
    runs : dict, stage number or label -> list of dict, the lines of its `metrics.jsonl`: all have
        `step`, training lines `loss`, validation lines `psnr_rgb_db`, `psnr_y_db` and
        `bicubic_rgb_db`, `bicubic_y_db`.

    Raises
    ------
    InputError if there is no run.
    """
    if not runs:
        raise InputError("expected the metrics of at least one stage but got none; train one first")
    figure = Figure(figsize=(1.5 + 3.3 * max(len(runs), 2), 8), layout="constrained")
    axes = figure.subplots(3, len(runs), squeeze=False, sharex="col")
    for column, (stage, metrics) in zip(axes.T, runs.items()):
        column[0].set_title(f"stage {stage}" if isinstance(stage, int) else stage)
        _draw_loss(column[0], metrics)
        _draw_validation(column[1], metrics, "rgb")
        _draw_validation(column[2], metrics, "y")
        column[2].set_xlabel("step")
        column[2].xaxis.set_major_locator(MaxNLocator(5))
    for axis, label in zip(axes[:, 0], ("training loss", "PSNR, RGB (dB)", "PSNR, Y (dB)")):
        axis.set_ylabel(label)
    figure.suptitle("Training, and validation against bicubic on the same frames")
    save_figure(figure, path)


def _draw_loss(axis, metrics):
    """The losses as they came, pale, and their running mean; logarithmic, for they fall by far."""
    points = [(line["step"], line["loss"]) for line in metrics if line.get("loss") is not None]
    if not points:
        return
    steps, losses = np.array(points, dtype=float).T
    axis.plot(steps, losses, color=COLOURS[5], linewidth=0.8, alpha=0.6)
    window = max(1, len(losses) // 25)
    means = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    axis.plot(steps[window - 1 :], means, color=SR_COLOUR, linewidth=1.6)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:.4g}")
    axis.yaxis.set_minor_formatter("{x:.4g}")
    axis.grid(alpha=0.3, which="both")


def _draw_validation(axis, metrics, colour):
    """PSNR at each validation as dots on a line, bicubic's as a dashed line."""
    lines = [line for line in metrics if line.get(f"psnr_{colour}_db") is not None]
    if not lines:
        return
    steps = [line["step"] for line in lines]
    reached = np.array([line[f"psnr_{colour}_db"] for line in lines])
    bicubic = np.array([line[f"bicubic_{colour}_db"] for line in lines])
    axis.plot(steps, reached, "o-", color=SR_COLOUR, ms=3, label=f"best {reached.max():.2f}")
    axis.axhline(bicubic[-1], ls="--", color=BICUBIC_COLOUR, label=f"bicubic {bicubic[-1]:.2f}")
    # Both lines are in sight; what the first steps reach may be far below and runs out.
    axis.set_ylim(bottom=min(bicubic.min(), max(reached.min(), bicubic.min() - 1.5)) - 0.1)
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")


def still_figure(path, title, images, psnr_db, crop=None):
    """Draw one picture as several methods give it, whole above and an enlarged crop below.

    Parameters
    ----------
    path : str or Path of the PNG.
    title : str above all of it.
    images : dict, label -> uint8 array (H, W, 3) RGB, drawn in order; the last one is the HR image.
        Smaller ones (the LR image) are enlarged by repeating pixels.
    psnr_db : dict, label -> float, dB, shown in the titles of the labels it has.
    crop : (top, left, height, width) in HR pixels; None takes the place where the first and the
        last method differ most.

    Raises
    ------
    InputError if there are fewer than two images or the crop does not lie in the picture.
    """
    if len(images) < 2:
        raise InputError(f"expected two images or more to compare but got {list(images)}")
    shape = list(images.values())[-1].shape
    same_size = {label: _enlarged(image, shape) for label, image in images.items()}
    crop = crop or _most_different(images)
    _check_crop(crop, shape)
    cell_height = float(np.clip(3.6 * shape[0] / shape[1], 1.4, 6.0))
    figure = Figure(figsize=(3.7 * len(images), 2 * cell_height + 0.9), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for (above, below), (label, image) in zip(axes.T, same_size.items()):
        _draw_whole(above, image, crop)
        _draw_crop(below, image, crop)
        above.set_title(_with_psnr(label, psnr_db), fontsize=12)
    figure.suptitle(title, fontsize=13)
    save_figure(figure, path)


def networks_figure(path, title, item, crop=None):
    """As `still_figure`, of one picture as bicubic and several networks give it.

    Parameters
    ----------
    path, title, crop : as for `still_figure`
    item : evaluation.Item
    """
    restored = {name.upper(): found.image for name, found in item.restored.items()}
    psnr_db = {name.upper(): found.score.psnr_db for name, found in item.restored.items()}
    images = {"LR": item.lr, "bicubic": item.bicubic, **restored, "HR": item.hr}
    still_figure(path, title, images, {"bicubic": item.bicubic_score.psnr_db, **psnr_db}, crop)


def _enlarged(image, shape):
    height, width = shape[:2]
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)


def _most_different(images):
    """The window, a fifth of the picture's sides, where two methods differ most."""
    *others, hr = images.values()
    methods = [image for image in others if image.shape == hr.shape]
    first, *_, last = [*methods, hr] if len(methods) < 2 else methods
    difference = np.square(first.astype(np.float32) - last).sum(axis=2)  # (H, W)
    height, width = (min(side, max(24, side // 5)) for side in hr.shape[:2])
    sums = cv2.boxFilter(
        difference, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT
    )
    inside = sums[: hr.shape[0] - height + 1, : hr.shape[1] - width + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return int(top), int(left), height, width


def _check_crop(crop, shape):
    top, left, height, width = crop
    fits = min(top, left) >= 0 and top + height <= shape[0] and left + width <= shape[1]
    if not (fits and height > 0 and width > 0):
        raise InputError(f"expected a crop inside {shape[1]}x{shape[0]} pixels but got {crop}")


def _draw_whole(axis, image, crop):
    top, left, height, width = crop
    axis.imshow(image)
    frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec="white", linewidth=2.4)
    inner = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec="black", linewidth=0.9)
    axis.add_patch(frame)
    axis.add_patch(inner)
    axis.set_axis_off()


def _draw_crop(axis, image, crop):
    top, left, height, width = crop
    axis.imshow(image[top : top + height, left : left + width], interpolation="nearest")
    axis.set_axis_off()


def _with_psnr(label, psnr_db):
    return f"{label}, {psnr_db[label]:.2f} dB" if label in psnr_db else label


@dataclass(frozen=True)
class CostPoint:
    """A method for `cost_figure`."""

    label: str
    multiply_adds: int | None  # None draws a line across: what costs next to nothing
    psnr_db: float
    ours: bool = False


def cost_figure(path, points, title="PSNR against cost"):
    """Draw the PSNR of methods against their multiply-adds, the latter on a logarithmic axis.

    Parameters
    ----------
    path : str or Path of the PNG.
    points : sequence of CostPoint; labels keep clear of each other and of the dots where they can.
    title : str

    Raises
    ------
    InputError if no point has a cost.
    """
    dots = [point for point in points if point.multiply_adds is not None]
    if not dots:
        raise InputError("expected a method with a number of multiply-adds but got none")
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axis = figure.subplots()
    for point in dots:
        style = _OURS if point.ours else _OTHERS
        axis.plot(point.multiply_adds, point.psnr_db, ls="none", mec="black", mew=0.6, **style)
    for point in points:
        if point.multiply_adds is None:
            axis.axhline(point.psnr_db, ls="--", color=COLOURS[6], linewidth=1)
    costs, levels = [p.multiply_adds for p in dots], [p.psnr_db for p in points]
    axis.set(xscale="log", xlim=(min(costs) / 2.5, max(costs) * 4), title=title, ylabel="PSNR (dB)",
             ylim=(min(levels) - 0.25, max(levels) + 0.25),
             xlabel="multiply-adds for a frame of 320×180")  # fmt: skip
    axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axis.grid(alpha=0.3, which="both")
    _label_points(figure, axis, points)
    save_figure(figure, path)


_OURS = {"marker": "*", "color": BICUBIC_COLOUR, "ms": 15}
_OTHERS = {"marker": "o", "color": SR_COLOUR, "ms": 7}
_DOT_PIXELS = 10  # half the side of what a dot covers
# Where a label may stand: offset from its dot in points, and which of its sides is there.
_PLACES = (((10, 0), "left", "center"), ((-10, 0), "right", "center"),
           ((0, 9), "center", "bottom"), ((0, -9), "center", "top"))  # fmt: skip


def _label_points(figure, axis, points):
    """Write the labels, each at the first place around its dot where nothing else is."""
    figure.draw_without_rendering()  # from here on, places in pixels are known
    figure.set_layout_engine("none")
    right = axis.get_xlim()[1]
    anchors = [(point.multiply_adds or right, point.psnr_db) for point in points]
    dots = [Bbox.from_extents(*(where - _DOT_PIXELS), *(where + _DOT_PIXELS))
            for where in map(axis.transData.transform, anchors)]  # fmt: skip
    taken = [dot for dot, point in zip(dots, points) if point.multiply_adds is not None]
    for point, anchor in zip(points, anchors):
        weight = "bold" if point.ours else "normal"
        label = axis.annotate(point.label, anchor, (0, 0), textcoords="offset points",
                              weight=weight)
        places = _PLACES if point.multiply_adds is not None else (((-6, 3), "right", "bottom"),)
        for offset, horizontal, vertical in places:
            label.set(position=offset, ha=horizontal, va=vertical)
            box = label.get_window_extent()
            inside = all(axis.bbox.contains(*corner) for corner in (box.min, box.max))
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)


def frames_figure(path, series):
    """Draw the PSNR of every frame of a clip, a line for each method.

    Parameters
    ----------
    path : str or Path of the PNG.
    series : dict, label -> sequence of float, dB, one per frame; infinite ones (equal frames) are
        left out of the line and of the mean.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axis = figure.subplots()
    for (label, values), colour, dashes in zip(series.items(), COLOURS, _DASHES):
        psnr_db = np.where(np.isfinite(values), values, np.nan)
        mean = f"mean {np.nanmean(psnr_db):.2f} dB" if np.isfinite(psnr_db).any() else "equal"
        marker = "o" if len(psnr_db) < 40 else None  # single frames still show as dots
        axis.plot(psnr_db, color=colour, ls=dashes, marker=marker, ms=3, label=f"{label}, {mean}")
    axis.set(xlabel="frame", ylabel="PSNR (dB)", title="PSNR per frame")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend()
    save_figure(figure, path)


def save_figure(figure, path):
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
