"""Draw a network from its description: boxes in the order they run, skips as arcs over them.

All places are in inches. A network of more than `ROW` boxes wraps into rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from elsr_paddle.evaluation.figures import save_figure
from elsr_paddle.evaluation.published import FRAME_PIXELS
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.network import Network

ROW = 10  # boxes in a row at most
_CONVOLUTION, _OTHER, _END = "#CFE5F3", "#F8E3D3", "#F2F2F2"
_JOINTS = {ops.Add: "+", ops.ChannelScale: "x"}  # drawn as a sign between the boxes
_BOX, _BOX_PITCH, _HALF_HEIGHT = 0.7, 1.8, 0.83  # half width, centre to centre, half height
_LINE = 17  # characters that fit the width of a box
_JOINT, _JOINT_PITCH = 0.13, 0.5  # radius, room between the boxes
_LABEL = 1.07  # from the middle of a box down to the shape of its output
_FOOT, _FOOT_OF_LAST = 1.6, 1.3  # from the middle of a row down to its end
_CHANNEL = 1.4  # from the middle of a row down to the line that leads to the next one
_LEVEL = 0.3  # between arcs above each other
_MARGIN = 0.3  # between what lies outside the boxes
_CORNER = 0.2  # radius
_BRANCH = 0.14  # from the edge of a box to where an arc leaves or comes down
_HEADER = 0.5  # height of the title


@dataclass(frozen=True)
class Element:
    """A box, or the sign of a sum or product, in its place.

    Attributes
    ----------
    lines : tuple of str, the text of a box, its name first
    colour : str, of a box
    shape : str, of its output, such as `48 × H × W`
    sign : str, "+" or "x"; empty for a box
    sources : tuple of int, the elements that it reads
    row : int, from the top
    x : float, inches to its middle
    """

    lines: tuple[str, ...]
    colour: str
    shape: str
    sign: str
    sources: tuple[int, ...]
    row: int = 0
    x: float = 0.0

    @property
    def half_width(self) -> float:
        """Inches."""
        return _JOINT if self.sign else _BOX


def network_figure(path: str | FilePath, network: Network) -> None:
    """Draw a network: its operations, what each gives, and the cost of all.

    Parameters
    ----------
    path : str or Path of the PNG
    network : Network
    """
    graph = network.graph
    elements = arranged(graph.pruned())
    title = (f"{network.name.upper()}: {graph.parameter_count:,} parameters, "
             f"{_rounded_cost(FRAME_PIXELS * graph.multiply_adds)} multiply-adds "
             "for a frame of 320×180")
    save_figure(_Drawing(elements).figure(title), path)


def _rounded_cost(multiply_adds):
    return f"{multiply_adds / 1e6:.2f} M" if multiply_adds < 1e9 else f"{multiply_adds / 1e9:.2f} G"


def arranged(graph: Graph) -> list[Element]:
    """The elements of a drawing in their places, one a node and the output as the last."""
    elements = [_element(graph, index) for index in range(len(graph.nodes))]
    elements.append(Element(("output",), _END, elements[-1].shape, "", (len(elements) - 1,)))
    return _placed(elements)


def _element(graph, index):
    node = graph.nodes[index]
    sign = _JOINTS.get(type(node.op), "")
    lines, colour = ((), "") if sign else _described(node.op)
    shape = _symbolic(graph.widths[index], graph.resolutions[index])
    return Element(lines, colour, shape, sign, node.sources)


def _described(op):
    """The lines of a box and its colour."""
    if isinstance(op, ops.Input):
        return (op.title,), _END
    count = sum(math.prod(shape) for shape in op.parameters().values())
    cost = f"{count:,} parameters" if count else "no parameters"
    if isinstance(op, ops.Conv):
        return (op.name, f"Conv {op.kernel}×{op.kernel}", f"{op.inputs} → {op.outputs} channels",
                cost), _CONVOLUTION
    words = op.describe().replace(" x", " ×")
    return ((op.name, words, cost) if count else (words, cost)), _OTHER


def _symbolic(channels, resolution):
    """A shape as `C × sH × sW`; that of a mean over the image as `C × 1 × 1`."""
    if resolution == 0:
        return f"{channels} × 1 × 1"
    factor = resolution if resolution > 1 else ""
    return f"{channels} × {factor}H × {factor}W"


def _placed(elements):
    """The elements from left to right, in rows of `ROW` boxes at most."""
    placed, row, x, boxes = [], 0, 0.0, 0
    for element in elements:
        if boxes == ROW and not element.sign:
            row, x, boxes = row + 1, 0.0, 0
        pitch = _JOINT_PITCH if element.sign else _BOX_PITCH
        placed.append(replace(element, row=row, x=x + pitch / 2))
        x, boxes = x + pitch, boxes + (not element.sign)
    return placed


@dataclass(frozen=True)
class _Arc:
    """A connection over the boxes, from element to element."""

    source: int
    target: int


class _Drawing:
    """The elements of a network as a figure.

    Parameters
    ----------
    elements : list of Element
    """

    def __init__(self, elements):
        self._elements = elements
        self._arcs = [_Arc(source, target) for target, element in enumerate(elements)
                      for source in element.sources if source != target - 1]
        self._arcs.sort(key=lambda arc: arc.target - arc.source)  # the short ones inside
        self._right = max(element.x + _BOX_PITCH / 2 for element in elements)
        self._levels = self._find_levels()  # (arc, row) -> 1 for the lowest
        self._middles = self._find_middles()
        leaving = filter(self._leaves_its_row, self._arcs)
        self._lanes = {arc: self._right + _MARGIN * (lane + 1) for lane, arc in enumerate(leaving)}

    def figure(self, title):
        left, right = -_MARGIN, max([self._right, *self._lanes.values()]) + _MARGIN
        bottom = self._middles[-1] - _FOOT_OF_LAST
        width, height = right - left, _HEADER - bottom
        figure = Figure(figsize=(width, height))
        figure.text(0.5, 1 - _HEADER / 2 / height, title, ha="center", va="center", fontsize=14)
        axis = figure.add_axes((0, 0, 1, -bottom / height))
        axis.set(xlim=(left, right), ylim=(bottom, 0))
        axis.set_axis_off()
        for index, element in enumerate(self._elements):
            self._draw_element(axis, element)
            if index - 1 in element.sources:
                self._draw_line(axis, index)
        for arc in self._arcs:
            _draw_path(axis, self._route(arc))
        return figure

    def _leaves_its_row(self, arc):
        return self._elements[arc.source].row != self._elements[arc.target].row

    def _ends(self, arc):
        """x where an arc leaves its source, and where it comes down to its target."""
        source, target = self._elements[arc.source], self._elements[arc.target]
        start = source.x + source.half_width + _BRANCH
        return start, target.x if target.sign else target.x - _BOX - _BRANCH

    def _spans(self, arc):
        """row -> (left, right) of the air that an arc needs above the row."""
        start, end = self._ends(arc)
        rows = self._elements[arc.source].row, self._elements[arc.target].row
        if not self._leaves_its_row(arc):
            return {rows[0]: (start, end)}
        return {rows[0]: (start, math.inf), rows[1]: (end, math.inf)}

    def _find_levels(self):
        """How high each arc runs over each row: above all shorter ones in the same place."""
        levels = {}
        for arc in self._arcs:
            for row, span in self._spans(arc).items():
                below = [level for (other, other_row), level in levels.items()
                         if other_row == row and _overlap(span, self._spans(other)[row])]
                levels[arc, row] = max(below, default=0) + 1
        return levels

    def _find_middles(self):
        """y of the middle of each row, the first one's arcs beginning below 0."""
        middles, y = [], 0.0
        for row in range(self._elements[-1].row + 1):
            arcs = max((level for (_, other), level in self._levels.items() if other == row),
                       default=0)
            y -= _HALF_HEIGHT + _LEVEL * (arcs + 0.5)
            middles.append(y)
            y -= _FOOT
        return middles

    def _height(self, arc, row):
        return self._middles[row] + _HALF_HEIGHT + _LEVEL * self._levels[arc, row]

    def _route(self, arc):
        """The corners of an arc, from the right of its source to its target."""
        source, target = self._elements[arc.source], self._elements[arc.target]
        start, end = self._ends(arc)
        above, over = self._height(arc, source.row), self._height(arc, target.row)
        y = self._middles[target.row]
        points = [(source.x + source.half_width, self._middles[source.row]),
                  (start, self._middles[source.row]), (start, above)]
        if self._leaves_its_row(arc):
            points += [(self._lanes[arc], above), (self._lanes[arc], over)]
        points.append((end, over))
        landing = [(end, y + _JOINT)] if target.sign else [(end, y), (target.x - _BOX, y)]
        return points + landing

    def _draw_line(self, axis, index):
        """From an element to the next one, which may stand at the start of the next row."""
        source, target = self._elements[index - 1], self._elements[index]
        start = (source.x + source.half_width, self._middles[source.row])
        end = (target.x - target.half_width, self._middles[target.row])
        if source.row == target.row:
            return _draw_path(axis, [start, end])
        channel = self._middles[source.row] - _CHANNEL
        return _draw_path(axis, [start, (self._right, start[1]), (self._right, channel),
                                 (0, channel), (0, end[1]), end])

    def _draw_element(self, axis, element):
        y = self._middles[element.row]
        if element.sign:
            axis.plot(element.x, y, "o", ms=17, mfc="white", mec="black", zorder=4)
            axis.plot(element.x, y, element.sign, ms=10, mec="black", zorder=5)
            return
        axis.add_patch(FancyBboxPatch(
            (element.x - _BOX + 0.04, y - _HALF_HEIGHT + 0.04), 2 * _BOX - 0.08,
            2 * _HALF_HEIGHT - 0.08, boxstyle="round,pad=0.04", fc=element.colour, ec="black"))
        for number, text in enumerate(element.lines):
            height = 0.2 * (len(element.lines) - 1) - 0.4 * number
            axis.text(element.x, y + height, text, ha="center", va="center",
                      weight="normal" if number else "bold",
                      fontsize=10 * min(1, _LINE / len(text)))
        axis.text(element.x, y - _LABEL, element.shape, ha="center", va="center", fontsize=10,
                  style="italic")


def _overlap(span, other):
    return other[0] <= span[1] and span[0] <= other[1]


def _draw_path(axis, points):
    axis.add_patch(FancyArrowPatch(path=_rounded(points), arrowstyle="-|>", color="black",
                                   linewidth=1.2, mutation_scale=12, zorder=1))


def _rounded(points: Sequence[tuple[float, float]]) -> Path:
    """Straight pieces through points, each corner between them a quarter of a circle."""
    points = [np.asarray(point, float) for point in points]
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:]):
        sides = [(end - corner, np.linalg.norm(end - corner)) for end in (before, after)]
        radius = min(_CORNER, *(length / 2 for _, length in sides))
        first, second = (corner + side * radius / length for side, length in sides)
        vertices += [first, corner, second]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])
