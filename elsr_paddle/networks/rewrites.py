"""Rewrite graphs into equal ones that engines compute faster, or can compute at all.

Each function takes a graph with arrays and gives another one with the same meaning: exactly, or up
to the rounding of float32 where arrays are multiplied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Draft, Graph, Node

LEVELS = 255  # of 8 bits above black
_POINTWISE = (ops.PReLU, ops.ReLU, ops.LeakyReLU, ops.Tanh, ops.Sigmoid, ops.GELU)
_AFFINE = (ops.BatchNorm, ops.Scale, ops.Shift)


def folded(graph: Graph) -> Graph:
    """Without batch norm, scaling, mean shift and bicubic: convolutions take them over.

    What follows a convolution alone, or scales it behind a pixel shuffle, goes into its arrays;
    elsewhere it becomes a 1x1 convolution, since the zeros that the next convolution pads with must
    not be shifted. Bicubic becomes a 5x5 convolution with the border repeated, and a pixel shuffle;
    a transposed convolution becomes a convolution and a pixel shuffle; repeated channels become a
    1x1 convolution. What the output does not depend on is left out.
    """
    graph = graph.pruned()
    draft, places = Draft(graph), []
    for node in graph.nodes:
        sources = [places[source] for source in node.sources]
        if isinstance(node.op, _AFFINE):
            places.append(_fold_affine(draft, graph, node, sources[0]))
        elif isinstance(node.op, ops.Bicubic):
            width = graph.widths[node.sources[0]]
            places.append(_bicubic_as_convolution(draft, node.op, sources[0], width))
        elif isinstance(node.op, ops.TransposedConv):
            index = draft.convolve(sources[0], *node.op.sub_pixel(draft.arrays))
            places.append(draft.add(ops.PixelShuffle(node.op.scale), index))
        elif isinstance(node.op, ops.Repeat):
            places.append(_repeat_as_convolution(draft, graph, node, sources[0]))
        else:
            places.append(draft.add(node.op, *sources))
    return draft.graph()


def _fold_affine(draft, graph, node, source):
    """Append `factor * x + shift`, or put it into the convolution that it follows."""
    factor, shift = _affine_of(node.op, graph.arrays, graph.widths[node.sources[0]])
    before = draft.nodes[source].op
    alone = len(graph.readers[node.sources[0]]) == 1
    if alone and isinstance(before, ops.Conv):
        _multiply(draft, before, factor, shift)
    elif alone and isinstance(node.op, ops.Scale) and _shuffles_alone(graph, node.sources[0]) \
            and isinstance(convolution := draft.nodes[draft.nodes[source].sources[0]].op, ops.Conv):
        _multiply(draft, convolution, np.full(convolution.outputs, node.op.factor))
    else:
        return draft.convolve(source, np.diag(factor)[:, :, None, None], shift)
    return source


def _multiply(draft, convolution, factor, shift=0.0):
    """Let a convolution give `factor * x + shift` of what it gives now."""
    kernel, bias = (draft.arrays[name].astype(np.float64) for name in convolution.parameters())
    draft.arrays[convolution.weight] = np.float32(kernel * factor[:, None, None, None])
    draft.arrays[convolution.bias] = np.float32(bias * factor + shift)


def _shuffles_alone(graph, index):
    """Whether a node becomes a pixel shuffle of what nothing else reads."""
    node = graph.nodes[index]
    if isinstance(node.op, ops.PixelShuffle):
        return len(graph.readers[node.sources[0]]) == 1
    return isinstance(node.op, (ops.Bicubic, ops.TransposedConv))


def _affine_of(op, arrays, width):
    """(factor, shift), float64 (width,)."""
    if isinstance(op, ops.BatchNorm):
        return op.affine(arrays)
    if isinstance(op, ops.Scale):
        return np.full(width, op.factor), np.zeros(width)
    return np.ones(width), np.array(op.amounts)


def _bicubic_as_convolution(draft, op, source, width):
    taps = op.taps()  # (s * s, 5, 5)
    kernel = np.einsum("cd,nij->cndij", np.eye(width), taps).reshape(-1, width, 5, 5)
    index = draft.convolve(source, kernel, np.zeros(len(kernel)), padding="edge")
    return draft.add(ops.PixelShuffle(op.scale), index)


def _repeat_as_convolution(draft, graph, node, source):
    kernel = np.repeat(np.eye(graph.widths[node.sources[0]]), node.op.copies, axis=0)
    return draft.convolve(source, kernel[:, :, None, None], np.zeros(len(kernel)))


def at_lr(graph: Graph) -> Graph:
    """With one pixel shuffle, the last operation: all before it works at the picture's resolution.

    The s * s pixels that an LR pixel becomes at a higher resolution are channels here, in the order
    of the pixel shuffle. A convolution at s times the resolution becomes one at the resolution of
    the picture, mostly of zeros: the same numbers, for more multiply-adds.

    Raises
    ------
    Unsupported for operations that look at the whole picture.
    """
    graph.refuse(ops.GlobalPool, ops.ChannelScale, by="a pass over rows")
    shuffles = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, ops.PixelShuffle)]
    last = len(graph.nodes) - 1
    if shuffles == [last]:
        return graph
    draft, places = Draft(graph), []
    for node in graph.nodes:
        factor = max((graph.resolutions[source] for source in node.sources), default=1)
        sources = [places[source] for source in node.sources]
        alone = all(len(graph.readers[source]) == 1 for source in node.sources)
        places.append(_append_at_lr(draft, node.op, sources, factor, alone))
    draft.add(ops.PixelShuffle(graph.scale), places[-1])
    return draft.graph()


def _append_at_lr(draft, op, sources, factor, alone):
    """Append an operation that works at `factor` times the picture's resolution.

    `alone` tells whether nothing else reads its sources.
    """
    if isinstance(op, ops.Conv) and factor > 1:
        kernel, bias = (draft.arrays[name] for name in op.parameters())
        return draft.convolve(sources[0], _kernel_at_lr(kernel, factor),
                              np.repeat(bias, factor**2), padding=op.padding)
    if isinstance(op, ops.PReLU) and factor > 1:
        slopes = np.repeat(op.slopes(draft.arrays), factor**2)
        op = ops.PReLU(draft.new_name(), len(slopes))
        draft.arrays[op.weight] = slopes
    if not isinstance(op, ops.PixelShuffle):
        return draft.add(op, *sources)
    if factor == 1:  # the channels are in the order of the shuffle already
        return sources[0]
    width = Graph(tuple(draft.nodes)).widths[sources[0]]
    order = _order_of_two_shuffles(width, factor, op.scale)
    before = draft.nodes[sources[0]].op
    if alone and isinstance(before, ops.Conv):
        reorder_arrays(draft.arrays, before, order)
        return sources[0]
    return draft.convolve(sources[0], np.eye(len(order))[order][:, :, None, None],
                          np.zeros(len(order)))


def _kernel_at_lr(kernel, factor):
    """(out, in, k, k) at `factor` times the resolution -> (out * f * f, in * f * f, n, n)."""
    outputs, inputs, side, _ = kernel.shape
    reach = -(-(side // 2) // factor)  # in LR pixels
    sides = 2 * reach + 1
    result = np.zeros((outputs, factor, factor, inputs, factor, factor, sides, sides), np.float32)
    for i, j, row, column in np.ndindex(factor, factor, side, side):
        y, x = i + row - side // 2, j + column - side // 2  # from the LR pixel's corner
        result[:, i, j, :, y % factor, x % factor, y // factor + reach, x // factor + reach] = (
            kernel[:, :, row, column])
    return result.reshape(outputs * factor**2, inputs * factor**2, sides, sides)


def _order_of_two_shuffles(width, first, second):
    """Which channel stands at each place once a shuffle follows another.

    Channels (c, i, j, I, J): an inner shuffle to x`second` of c * i * j, at x`first` the resolution
    I, J; the two together number rows as I * second + i.
    """
    places = np.arange(width).reshape(-1, second, second, first, first)
    return places.transpose(0, 3, 1, 4, 2).ravel()


def on_levels(graph: Graph) -> Graph:
    """The same network on 0..255 instead of 0..1.

    Most operations commute with a positive factor, so only the biases change: no engine has to
    divide pixels by 255 and multiply them back. Around those that do not commute, as tanh, the
    features stay as they are, and the convolutions next to them take the factor over.
    """
    factors = _factors(graph)
    draft, places = Draft(graph), []
    for index, node in enumerate(graph.nodes):
        given = [factors[source] for source in node.sources]
        sources = [places[source] for source in node.sources]
        if isinstance(node.op, ops.Conv):
            _rescale(draft.arrays, node.op, given[0], factors[index])
        if node.op.homogeneous:
            places.append(draft.add(node.op, *sources))
            continue
        unit = [_times(draft, graph, at, source, 1 / factor) for at, source, factor
                in zip(sources, node.sources, given)]
        places.append(_times(draft, graph, draft.add(node.op, *unit), index, factors[index]))
    return draft.graph()


def _factors(graph):
    """255 for the outputs that are tied to the picture or the result by operations that commute
    with a factor and keep it; 1 for all others, which convolutions part from them."""
    last = len(graph.nodes) - 1
    tied, waiting = set(), [0, last]
    while waiting:
        index = waiting.pop()
        if index in tied:
            continue
        tied.add(index)
        waiting += [i for i in graph.readers[index] if _keeps_factor(graph.nodes[i].op)]
        waiting += graph.nodes[index].sources if _keeps_factor(graph.nodes[index].op) else ()
    everywhere = all(node.op.homogeneous for node in graph.nodes)
    return [LEVELS if everywhere or index in tied else 1 for index in range(last + 1)]


def _keeps_factor(op):
    return op.homogeneous and not isinstance(op, ops.Conv)


def _rescale(arrays, op, given, wanted):
    """Let a convolution take `given` times its input and give `wanted` times its output."""
    if given != wanted:
        arrays[op.weight] = arrays[op.weight] * np.float32(wanted / given)
    arrays[op.bias] = arrays[op.bias] * np.float32(wanted)


def _times(draft, graph, place, index, factor):
    """A node's output times a factor, by a 1x1 convolution; the output itself for 1."""
    if factor == 1:
        return place
    width = graph.widths[index]
    return draft.convolve(place, factor * np.eye(width)[:, :, None, None], np.zeros(width))


def interleaved(graph: Graph) -> Graph:
    """With the channels before the last pixel shuffle in (i, j, c) order.

    The s*s*C values of an LR pixel then lie in the order of the bytes of the output's rows.
    """
    channels, scale = graph.widths[-1], graph.nodes[-1].op.scale
    places = np.arange(channels * scale**2).reshape(channels, scale, scale)
    return reordered(graph, graph.nodes[-1].sources[0], places.transpose(1, 2, 0).ravel())


def reordered(graph: Graph, index: int, order: np.ndarray) -> Graph:
    """With the channels that node `index` gives to the last node in another order.

    The order moves through additions and activations into the arrays of convolutions; where it
    cannot, as before an output that others read too, a 1x1 convolution makes it.

    Parameters
    ----------
    order : int array, which channel stands at each place
    """
    moved, made = _where_to_reorder(graph, index)
    draft, places, plain = Draft(graph), [], []
    for number, node in enumerate(graph.nodes):
        follows = number in moved or number == len(graph.nodes) - 1
        sources = [(places if follows else plain)[source] for source in node.sources]
        if number in moved:
            reorder_arrays(draft.arrays, node.op, order)
        plain.append(draft.add(node.op, *sources))
        places.append(plain[-1])
        if number in made:
            kernel = np.eye(len(order))[order][:, :, None, None]
            places[-1] = draft.convolve(plain[-1], kernel, np.zeros(len(order)))
    return draft.graph()


def _where_to_reorder(graph, index):
    """(nodes that are reordered themselves, nodes whose output a convolution reorders)."""
    moved, made, waiting = set(), set(), [index]
    while waiting:
        index = waiting.pop()
        op = graph.nodes[index].op
        can_move = isinstance(op, (ops.Conv, ops.Add, *_POINTWISE))
        if len(graph.readers[index]) > 1 or not can_move:
            made.add(index)
            continue
        moved.add(index)
        if not isinstance(op, ops.Conv):
            waiting += graph.nodes[index].sources
    return moved, made


def reorder_arrays(arrays: dict, op: ops.Operation, order: Sequence[int]) -> None:
    """Change the arrays of an operation so that its output has channel `order[i]` at place i."""
    shared = isinstance(op, ops.PReLU) and op.shared
    for name in () if shared else op.parameters():
        arrays[name] = arrays[name][order]


def raised(graph: Graph, amount: float) -> Graph:
    """With `amount` added to the output: in a bias where there is one, else by a 1x1 convolution.

    Engines whose cast to bytes cuts off round so, at no cost.
    """
    ends_in_shuffle = isinstance(graph.nodes[-1].op, ops.PixelShuffle)
    index = graph.nodes[-1].sources[0] if ends_in_shuffle else len(graph.nodes) - 1
    wanted = index
    while isinstance(graph.nodes[index].op, ops.Add):
        single = [i for i in graph.nodes[index].sources if len(graph.readers[i]) == 1]
        index = single[0] if single else 0
    op = graph.nodes[index].op
    if isinstance(op, ops.Conv):
        bias = graph.arrays[op.bias] + np.float32(amount)
        return replace(graph, arrays={**graph.arrays, op.bias: bias})
    return _raised_behind(graph, wanted, amount)


def _raised_behind(graph, index, amount):
    """As `raised`, by a convolution behind node `index`, which the last node alone reads or is."""
    draft, places = Draft(graph), []
    for number, node in enumerate(graph.nodes):
        places.append(draft.add(node.op, *(places[source] for source in node.sources)))
        if number == index:
            width = graph.widths[index]
            places[-1] = draft.convolve(places[-1], np.eye(width)[:, :, None, None],
                                        np.full(width, amount))
    return draft.graph()


def luma_alone(graph: Graph, weights: np.ndarray) -> Graph | None:
    """With the luma of the picture as output, at a third of the cost of the last convolution.

    Luma is linear in RGB, as the last convolution is in its input, so it goes into its arrays. What
    RGB would clip is kept, as luma has room for it.

    Parameters
    ----------
    graph : Graph on levels
    weights : float array (4,), of (R, G, B, 1) in levels

    Returns
    -------
    Graph, or None if the network is not one on RGB that ends in a convolution and a pixel shuffle
    """
    last, tail = graph.nodes[-1], graph.nodes[-1].sources[0]
    op = graph.nodes[tail].op
    if graph.widths[-1] != 3 or not (isinstance(last.op, ops.PixelShuffle)
                                     and isinstance(op, ops.Conv)):
        return None
    kernel, bias = (graph.arrays[name] for name in op.parameters())
    kernel, bias = (np.tensordot(weights[:3], array.reshape(3, len(bias) // 3, *array.shape[1:]), 1)
                    for array in (kernel, bias))
    nodes = list(graph.nodes)
    nodes[tail] = Node(replace(op, outputs=len(bias)), nodes[tail].sources)
    arrays = {**graph.arrays, op.weight: kernel.astype(np.float32),
              op.bias: (bias + weights[3]).astype(np.float32)}
    return Graph(tuple(nodes), arrays)
