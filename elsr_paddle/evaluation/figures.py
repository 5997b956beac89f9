"""Draw training curves, comparisons of images, costs and the frames of a clip.

Drawn with matplotlib's Agg canvas through Figure objects, never through pyplot: no window, no state
shared with a notebook. Every file is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, Formatter, MaxNLocator
from matplotlib.transforms import Bbox

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import Item
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.files import atomic_write

# Okabe and Ito's palette, told apart by colour-blind readers; lines differ in dashes as well.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("--", "-", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
BICUBIC_COLOUR, SR_COLOUR = COLOURS[:2]
_DPI = 120

Crop = tuple[int, int, int, int]  # top, left, height, width, in HR pixels


def losses_figure(path: str | Path, runs: dict[int | str, Sequence[dict]]) -> None:
    """Draw the loss and the validation PSNR of several stages side by side, a column each.

    A column has its own axes: stages differ in scale (x2, x4) and in loss (L1, L2), so that common
    axes would flatten the gain over bicubic that the picture is there to show.

    Parameters
    ----------
    path : str or Path of the PNG
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
    """The losses as they came, pale, and their running mean.

    Logarithmic, for they fall by far, unless they are decibels.
    """
    points = [(line["step"], line["loss"]) for line in metrics if line.get("loss") is not None]
    if not points:
        return
    steps, losses = np.array(points, dtype=float).T
    axis.plot(steps, losses, color=COLOURS[5], linewidth=0.8, alpha=0.6)
    window = max(1, len(losses) // 25)
    means = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    axis.plot(steps[window - 1 :], means, color=SR_COLOUR, linewidth=1.6)
    axis.set_yscale("log" if losses.min() > 0 else "linear")
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


def still_figure(
    path: str | Path,
    title: str,
    images: dict[str, np.ndarray],
    psnr_db: dict[str, float],
    crop: Crop | None = None,
) -> None:
    """Draw one image as several methods give it, whole above and an enlarged crop below.

    Parameters
    ----------
    path : str or Path of the PNG
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
    height, width = list(images.values())[-1].shape[:2]
    crop = crop or _most_different(images)
    _check_crop(crop, height, width)
    cell_height = float(np.clip(3.6 * height / width, 1.4, 6.0))  # inches
    figure = Figure(figsize=(3.7 * len(images), 2 * cell_height + 0.9), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for (above, below), (label, image) in zip(axes.T, images.items()):
        image = _repeated(image, height, width)
        _draw_whole(above, image, crop)
        _draw_crop(below, image, crop)
        above.set_title(_with_psnr(label, psnr_db), fontsize=12)
    figure.suptitle(title, fontsize=13)
    save_figure(figure, path)


def item_figure(path: str | Path, title: str, item: Item, crop: Crop | None = None) -> None:
    """As `still_figure`, of one image as bicubic and networks give it.

    Parameters
    ----------
    path, title, crop : as for `still_figure`
    item : Item
    """
    restored = {name.upper(): found for name, found in item.restored.items()}
    images = {"LR": item.lr, BICUBIC: item.bicubic,
              **{name: found.image for name, found in restored.items()}, "HR": item.hr}
    psnr_db = {BICUBIC: item.bicubic_score.psnr_db,
               **{name: found.score.psnr_db for name, found in restored.items()}}
    still_figure(path, title, images, psnr_db, crop)


def _repeated(image, height, width):
    """An image of height x width, each pixel of a smaller one repeated."""
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return image[rows[:, None], columns]


def _most_different(images):
    """The window, a fifth of the image's sides, where two methods differ most."""
    *others, hr = images.values()
    methods = [image for image in others if image.shape == hr.shape]
    first, *_, last = [*methods, hr] if len(methods) < 2 else methods
    difference = np.square(first.astype(np.float64) - last).sum(axis=2)  # (H, W)
    height, width = (min(side, max(24, side // 5)) for side in hr.shape[:2])
    sums = _window_sums(difference, height, width)
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), height, width


def _window_sums(values, height, width):
    """The sum over each window of height x width inside an array (H, W), by its top left."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    rows = total[height:] - total[:-height]  # (H - height + 1, W + 1)
    return rows[:, width:] - rows[:, :-width]


def _check_crop(crop, image_height, image_width):
    top, left, height, width = crop
    fits = min(top, left) >= 0 and top + height <= image_height and left + width <= image_width
    if not (fits and height > 0 and width > 0):
        raise InputError(f"expected a crop inside {image_width}x{image_height} pixels "
                         f"but got {crop}")


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
    """A method in `cost_figure`.

    Attributes
    ----------
    label : str
    cost : float, in the axis' unit; None for what costs next to nothing: it becomes a line across.
    psnr_db : float
    ours : bool
    as_published : bool, whether nobody here has run it: its dot is hollow.
    """

    label: str
    cost: float | None
    psnr_db: float
    ours: bool = False
    as_published: bool = False


@dataclass(frozen=True)
class CostAxis:
    """What `cost_figure` counts.

    Attributes
    ----------
    label : str
    formatter : matplotlib's formatter of its numbers
    marks : dict, text -> a cost at which a line goes up
    """

    label: str
    formatter: Formatter
    marks: dict[str, float] = field(default_factory=dict)


MULTIPLY_ADDS = CostAxis("multiply-adds for a frame of 320×180", EngFormatter(sep=" "))


def cost_figure(
    path: str | Path, points: Sequence[CostPoint], title: str = "PSNR against cost",
    axis: CostAxis = MULTIPLY_ADDS,
) -> None:
    """Draw the PSNR of methods against their cost, the latter on a logarithmic axis.

    Parameters
    ----------
    path : str or Path of the PNG
    points : sequence of CostPoint; labels keep clear of each other and of the dots where they can.
    title : str
    axis : CostAxis

    Raises
    ------
    InputError if no point has a cost.
    """
    costs = [point.cost for point in points if point.cost is not None]
    if not costs:
        raise InputError("expected a method with a cost but got none")
    costs += axis.marks.values()
    levels = [point.psnr_db for point in points]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for point in points:
        _draw_cost(axes, point)
    for cost in axis.marks.values():
        axes.axvline(cost, ls=":", color=COLOURS[6], linewidth=1.2)
    axes.set(xscale="log", xlim=(min(costs) / 2.5, max(costs) * 4), title=title,
             ylabel="PSNR (dB)", ylim=(min(levels) - 0.25, max(levels) + 0.25), xlabel=axis.label)
    axes.xaxis.set_major_formatter(axis.formatter)
    axes.grid(alpha=0.3, which="both")
    _draw_legend(axes, points)
    _label_points(figure, axes, points, axis.marks)
    save_figure(figure, path)


_OURS = {"marker": "*", "color": BICUBIC_COLOUR, "ms": 15}
_OTHERS = {"marker": "o", "color": SR_COLOUR, "ms": 7}
_AS_PUBLISHED = {**_OTHERS, "markerfacecolor": "white", "mec": SR_COLOUR, "mew": 1.4}


def _draw_cost(axis, point):
    if point.cost is None:
        axis.axhline(point.psnr_db, ls="--", color=COLOURS[6], linewidth=1)
    else:
        style = _OURS if point.ours else _AS_PUBLISHED if point.as_published else _OTHERS
        axis.plot(point.cost, point.psnr_db, ls="none", **{"mec": "black", "mew": 0.6, **style})


def _draw_legend(axis, points):
    """What the dots mean, where there is more than ours and others."""
    if any(point.as_published for point in points):
        for style, text in ((_OURS, "ours"), (_OTHERS, "others, their weights run by us"),
                            (_AS_PUBLISHED, "others, as published")):
            axis.plot([], [], ls="none", label=text, **{"mec": "black", "mew": 0.6, **style})
        axis.legend(loc="lower right", fontsize="small")


_DOT_PIXELS = 10  # half the side of what a dot covers
_NEAR = 10  # points; a label further up or down is tied to its dot by a line
# Where a label may stand: offset from its dot in points, and which of its sides is there.
_PLACES = (((10, 0), "left", "center"), ((-10, 0), "right", "center"),
           ((0, 9), "center", "bottom"), ((0, -9), "center", "top"),
           ((6, 7), "left", "bottom"), ((-6, 7), "right", "bottom"),
           ((6, -7), "left", "top"), ((-6, -7), "right", "top"),
           ((0, 22), "center", "bottom"), ((0, -22), "center", "top"),
           ((14, 20), "left", "bottom"), ((14, -20), "left", "top"),
           ((-14, 20), "right", "bottom"), ((-14, -20), "right", "top"),
           ((14, -36), "left", "top"), ((-14, 36), "right", "bottom"))  # fmt: skip
_PLACES_ON_A_LINE = (((-6, 3), "right", "bottom"),)


def _label_points(figure, axis, points, marks):
    """Write the labels, each at the first place around its dot where nothing else is."""
    figure.draw_without_rendering()  # from here on, places in pixels are known
    figure.set_layout_engine("none")
    right = axis.get_xlim()[1]
    anchors = [(point.cost or right, point.psnr_db) for point in points]
    taken = [_dot_box(axis, anchor) for anchor, point in zip(anchors, points)
             if point.cost is not None]
    for text, cost in marks.items():
        taken += _mark_boxes(axis, text, cost)
    if axis.get_legend():
        taken.append(axis.get_legend().get_window_extent())
    order = sorted(range(len(points)), key=lambda number: not points[number].ours)  # ours first
    for point, anchor in ((points[number], anchors[number]) for number in order):
        label = axis.annotate(point.label, anchor, (0, 0), textcoords="offset points",
                              weight="bold" if point.ours else "normal")
        on_a_line = point.cost is None
        taken.append(_place_label(axis, label, _PLACES_ON_A_LINE if on_a_line else _PLACES, taken))


def _dot_box(axis, anchor):
    where = axis.transData.transform(anchor)
    return Bbox.from_extents(*(where - _DOT_PIXELS), *(where + _DOT_PIXELS))


def _mark_boxes(axis, text, cost):
    """Write upwards along a line, from its foot; the boxes of line and text in pixels."""
    label = axis.annotate(text, (cost, axis.get_ylim()[0]), (-3, 6), textcoords="offset points",
                          rotation=90, ha="right", va="bottom", fontsize="small")
    at, _ = axis.transData.transform((cost, axis.get_ylim()[0]))
    line = Bbox.from_extents(at - 1, axis.bbox.y0, at + 1, axis.bbox.y1)
    return [label.get_window_extent(), line]


def _place_label(axis, label, places, taken):
    """Put a label at the first place that is free, else at the last one; its box in pixels."""
    for offset, horizontal, vertical in places:
        label.set(position=offset, ha=horizontal, va=vertical)
        box = label.get_window_extent()
        inside = all(axis.bbox.contains(*corner) for corner in (box.min, box.max))
        if inside and not box.count_overlaps(taken):
            break
    if abs(offset[1]) > _NEAR:
        line = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4, "alpha": 0.6}
        axis.annotate("", label.xy, offset, textcoords="offset points", arrowprops=line)
    return box


def frames_figure(path: str | Path, series: dict[str, Sequence[float]]) -> None:
    """Draw the PSNR of every frame of a clip, a line for each method.

    Parameters
    ----------
    path : str or Path of the PNG
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


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
