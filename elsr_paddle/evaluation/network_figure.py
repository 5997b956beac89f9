"""A drawing of a network, made from the network itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from elsr_paddle.evaluation.figures import save_figure


def architecture_figure(path, model):
    """Draw a network from what it does: its layers in the order they run, and how they connect.

    A copy of it is run once on noise. What each layer reads is compared with what was computed
    before it, so connections, sums among them, show in the drawing without being described.

    Parameters
    ----------
    path : str or Path of the PNG.
    model : paddle.nn.Layer, tensor (1, C, H, W) -> tensor (1, c, sH, sW).
    """
    from elsr_paddle.models import count_parameters, multiply_adds

    nodes = _traced(model)
    figure = Figure(figsize=(1.8 * len(nodes), 3.6))
    axis = figure.add_axes((0, 0, 1, 0.88))
    axis.set(xlim=(-0.5, len(nodes) - 0.5), ylim=(-0.75, 0.85))
    axis.set_axis_off()
    for index, node in enumerate(nodes):
        _draw_node(axis, index, node)
        _draw_arrows(axis, index, node)
    figure.suptitle(
        f"{type(model).__name__}: {count_parameters(model):,} parameters, "
        f"{multiply_adds(model, 180, 320) / 1e6:.2f} M multiply-adds for a frame of 320×180",
        fontsize=14,
    )
    save_figure(figure, path)


_TRACE_SIZE = (8, 12)  # height, width of the noise: any small size whose sides differ
_CONVOLUTION, _OTHER, _END = "#CFE5F3", "#F8E3D3", "#F2F2F2"


@dataclass
class _Node:
    """One box of the drawing: a layer that ran, or the input or output of the network."""

    lines: list  # of str, the first one its name
    value: object  # its output, tensor
    colour: str
    sources: list = field(default_factory=list)  # indices of the nodes whose sum it reads


def _traced(model):
    """The boxes of a network, found by running a copy of it once on noise, with noise for weights.

    Real weights may be zero or pass their input on, and so hide which layer reads which.
    """
    from elsr_paddle.framework import paddle

    rng = np.random.default_rng(0)
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.set_value(rng.normal(0, 0.3, parameter.shape).astype(np.float32))
    layers = [(name, layer) for name, layer in model.named_sublayers() if not layer.sublayers()]
    channels = next(layer.weight.shape[1] for _, layer in layers if _is_convolution(layer))
    noise = rng.random((1, channels, *_TRACE_SIZE), dtype=np.float32)
    nodes = [_Node(["input"], paddle.to_tensor(noise), _END)]
    hooks = [layer.register_forward_post_hook(_recorder(nodes, name)) for name, layer in layers]
    try:
        with paddle.no_grad():
            output = model(nodes[0].value)
    finally:
        for hook in hooks:
            hook.remove()
    return [*nodes, _Node(["output"], output, _END, _sources(nodes, output))]


def _recorder(nodes, name):
    """A hook that adds the box of the layer `name` when the layer runs."""

    def record(layer, inputs, output):
        colour = _CONVOLUTION if _is_convolution(layer) else _OTHER
        lines = [name, *_described(layer)]
        nodes.append(_Node(lines, output, colour, _sources(nodes, inputs[0])))

    return record


def _sources(nodes, value):
    """The box that gave `value`, or the two whose sum it is; else the one that ran just before."""
    held = [index for index, node in enumerate(nodes) if _equal(node.value, value)]
    if held:
        return [held[-1]]
    alike = [index for index, node in enumerate(nodes) if node.value.shape == value.shape]
    for first, second in combinations(alike, 2):
        if _equal(nodes[first].value + nodes[second].value, value):
            return [first, second]
    return [len(nodes) - 1]


def _equal(first, second):
    return first.shape == second.shape and np.allclose(first.numpy(), second.numpy(), atol=1e-6)


def _is_convolution(layer):
    return getattr(layer, "weight", None) is not None and layer.weight.ndim == 4


def _described(layer):
    """What a layer is, its channels and its parameters: the lines under its name."""
    if _is_convolution(layer):  # a linear block counts as the plain convolution it becomes
        outputs, inputs, height, width = layer.weight.shape
        count = layer.weight.size + layer.bias.size
        lines = [f"Conv {height}×{width}", f"{inputs} → {outputs} channels"]
    else:
        count = sum(parameter.size for parameter in layer.parameters())
        lines = [type(layer).__name__]
    return [*lines, f"{count:,} parameters" if count else "no parameters"]


def _draw_node(axis, index, node):
    """A box centred on x = index, with the shape of what it gives below it."""
    box = FancyBboxPatch(
        (index - 0.36, -0.4), 0.72, 0.8, boxstyle="round,pad=0.02", fc=node.colour, ec="black"
    )
    axis.add_patch(box)
    for line, text in enumerate(node.lines):
        height = 0.1 * (len(node.lines) - 1) - 0.2 * line
        weight = "normal" if line else "bold"
        axis.text(index, height, text, ha="center", va="center", weight=weight, fontsize=10)
    shape = _symbolic(node.value.shape)
    axis.text(index, -0.58, shape, ha="center", va="center", fontsize=10, style="italic")


def _symbolic(shape):
    """A shape (1, C, sH, sW) as `C × sH × sW`."""
    height, width = (n // side for n, side in zip(shape[2:], _TRACE_SIZE))
    return f"{shape[1]} × {height if height > 1 else ''}H × {width if width > 1 else ''}W"


def _draw_arrows(axis, index, node):
    """Straight from the box before; over the boxes between from farther ones; a plus for a sum."""
    join = index - 0.5
    for source in node.sources:
        if source == index - 1:
            _draw_arrow(axis, [(source + 0.38, 0), (index - 0.38, 0)])
        else:
            _draw_arrow(axis, [(source + 0.5, 0), (source + 0.5, 0.7), (join, 0.7), (join, 0.07)])
    if len(node.sources) > 1:
        axis.plot(join, 0, "o", ms=17, mfc="white", mec="black", zorder=4)
        axis.plot(join, 0, "+", ms=10, mec="black", zorder=5)


def _draw_arrow(axis, points):
    xs, ys = zip(*points)
    axis.plot(xs[:-1], ys[:-1], color="black", linewidth=1.2, zorder=1)
    axis.annotate(
        "",
        xy=points[-1],
        xytext=points[-2],
        arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0},
    )
