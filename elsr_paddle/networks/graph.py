"""Describe a network as a list of operations: what engines, exports and training are made from.

`Value` is how a network is written down (see `network.py`); `Graph` is the list that comes of it,
with or without the arrays of its parameters.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.networks import operations as ops


@dataclass(frozen=True)
class Node:
    """An operation and the earlier nodes whose outputs it reads, by index."""

    op: ops.Operation
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: nodes in an order where each reads only earlier ones.

    Attributes
    ----------
    nodes : tuple of Node; the first is the Input, the last the output.
    arrays : dict of str -> float32 array, parameters by name; empty in a description.
    """

    nodes: tuple[Node, ...]
    arrays: dict = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Of the picture: 3 for RGB, 1 for luma."""
        return self.nodes[0].op.size

    @cached_property
    def widths(self) -> list[int]:
        """Channels of every node's output."""
        found = []
        for node in self.nodes:
            found.append(node.op.channels(*(found[source] for source in node.sources)))
        return found

    @cached_property
    def resolutions(self) -> list[int]:
        """How many times higher and wider than the picture every node's output is; 0 for pooled."""
        found = []
        for node in self.nodes:
            given = [found[source] for source in node.sources] or [1]
            pooled = isinstance(node.op, ops.GlobalPool)
            found.append(0 if pooled else max(given) * node.op.enlarges)
        return found

    @property
    def scale(self) -> int:
        """How many times higher and wider than the picture the output is."""
        return self.resolutions[-1]

    @cached_property
    def readers(self) -> list[list[int]]:
        """Indices of the nodes that read each node."""
        found = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in set(node.sources):
                found[source].append(index)
        return found

    @cached_property
    def live(self) -> frozenset[int]:
        """Indices of the nodes that the output depends on.

        The others hold parameters alone, such as the tails of the other scales of MDSR.
        """
        found, waiting = set(), [len(self.nodes) - 1]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self.nodes[index].sources
        return frozenset(found)

    def pruned(self) -> Graph:
        """Without the nodes that the output does not depend on, and without their arrays."""
        if len(self.live) == len(self.nodes):
            return self
        draft, places = Draft(self), {}
        for index in sorted(self.live):
            node = self.nodes[index]
            places[index] = draft.add(node.op, *(places[source] for source in node.sources))
        return draft.graph() if self.arrays else Graph(tuple(draft.nodes))

    @property
    def multiply_adds(self) -> int:
        """For one pixel of the picture; those of convolutions alone count."""
        nodes = [self.nodes[index] for index in self.live]
        return sum(node.op.multiply_adds * self.resolutions[node.sources[0]] ** 2
                   for node in nodes if node.sources)

    @property
    def parameter_count(self) -> int:
        """Weights, biases and slopes."""
        return sum(map(math.prod, self.parameters().values()))

    @cached_property
    def radius(self) -> int | None:
        """LR pixels around a pixel that its output depends on; None for the whole picture."""
        leads = [Fraction(0)] * len(self.nodes)
        for index in sorted(self.live, reverse=True):
            node = self.nodes[index]
            if isinstance(node.op, ops.GlobalPool):
                return None
            for source in node.sources:
                lead = Fraction(node.op.reach, self.resolutions[source] or 1)
                leads[source] = max(leads[source], leads[index] + lead)
        return math.ceil(leads[0])

    def parameters(self) -> dict[str, tuple]:
        """Name -> shape of every parameter, in the order of the nodes."""
        return {name: shape for node in self.nodes for name, shape in node.op.parameters().items()}

    def bind(self, arrays: dict) -> Graph:
        """The same graph with the arrays of its parameters, as float32.

        Raises
        ------
        InputError naming each parameter that is missing, unknown or of another shape.
        """
        check_fit(self.parameters(), arrays)
        return replace(self, arrays={name: np.asarray(array, np.float32)
                                     for name, array in arrays.items()})

    def shape_key(self) -> str:
        """Everything but names and arrays, as a string: graphs of one key can share a kernel."""
        return "; ".join(f"{_nameless(node.op)} {node.sources}" for node in self.nodes)

    def refuse(self, *kinds: type, by: str) -> Graph:
        """The graph itself.

        Raises
        ------
        Unsupported if it has an operation of one of the kinds, which `by` lacks.
        """
        for node in self.nodes:
            if isinstance(node.op, kinds):
                raise ops.Unsupported(f"{by} has no {node.op.title}")
        return self


def _nameless(op):
    return repr(replace(op, name="")) if hasattr(op, "name") else repr(op)


def check_fit(expected: dict[str, tuple], arrays: dict) -> None:
    """Raise InputError that names each array that is missing, unknown or of another shape.

    Parameters
    ----------
    expected : dict of str -> shape
    arrays : dict of str -> array
    """
    given = {name: tuple(array.shape) for name, array in arrays.items()}
    wrong = sorted(name for name in expected.keys() | given.keys()
                   if expected.get(name) != given.get(name))
    if wrong:
        listed = "; ".join(f"{name}: expected {expected.get(name, 'none')} "
                           f"but got {given.get(name, 'none')}" for name in wrong)
        raise InputError(f"the weights do not fit the network: {listed}")


class Draft:
    """A graph under construction.

    Parameters
    ----------
    graph : Graph to begin with a copy of its arrays; None for none

    Attributes
    ----------
    nodes : list of Node
    arrays : dict of str -> array
    """

    def __init__(self, graph: Graph | None = None):
        self.nodes: list[Node] = []
        self.arrays = dict(graph.arrays) if graph else {}

    def add(self, op: ops.Operation, *sources: int) -> int:
        """Append a node; its index."""
        self.nodes.append(Node(op, sources))
        return len(self.nodes) - 1

    def new_name(self) -> str:
        """A name that no operation has."""
        return next(name for number in itertools.count()
                    if f"{(name := f'made_{number}')}.weight" not in self.arrays)

    def convolve(self, source: int, kernel: np.ndarray, bias: np.ndarray,
                 padding: str = "zero") -> int:
        """Append a convolution with its arrays."""
        name = self.new_name()
        outputs, inputs, side, _ = kernel.shape
        op = ops.Conv(name, inputs, outputs, side, padding=padding)
        self.arrays[op.weight], self.arrays[op.bias] = np.float32(kernel), np.float32(bias)
        return self.add(op, source)

    def graph(self) -> Graph:
        """The graph, with the arrays that its nodes still name."""
        graph = Graph(tuple(self.nodes))
        return replace(graph, arrays={name: self.arrays[name] for name in graph.parameters()})


@dataclass(frozen=True)
class Value:
    """An output in a network that is being written down; each method appends an operation to it.

    `network.Network` shows how it is used.
    """

    draft: Draft
    index: int
    channels: int

    def _then(self, op, *others):
        index = self.draft.add(op, self.index, *(other.index for other in others))
        channels = op.channels(self.channels, *(other.channels for other in others))
        return Value(self.draft, index, channels)

    def graph(self) -> Graph:
        """The network that ends here, without arrays."""
        return Graph(tuple(self.draft.nodes[: self.index + 1]))

    def conv(self, name: str, channels: int, kernel: int = 3, *,
             learning_rate: float = 1.0) -> Value:
        """Convolution with zero padding; `learning_rate` is a factor on the network's rate."""
        return self._then(ops.Conv(name, self.channels, channels, kernel, learning_rate))

    def transposed_conv(self, name: str, channels: int, kernel: int, scale: int, *,
                        learning_rate: float = 1.0) -> Value:
        """Enlarge by a transposed convolution; `learning_rate` as for `conv`."""
        return self._then(ops.TransposedConv(name, self.channels, channels, kernel, scale,
                                             learning_rate))

    def repeat(self, copies: int) -> Value:
        """Each channel several times in a row."""
        return self._then(ops.Repeat(copies))

    def prelu(self, name: str, shared: bool = False) -> Value:
        """PReLU with a slope for each channel, or one that all share."""
        return self._then(ops.PReLU(name, self.channels, shared))

    def activate(self, kind: str, name: str = "") -> Value:
        """An activation by its name in `operations.ACTIVATIONS`; `prelu` needs a name."""
        if kind == "prelu":
            return self.prelu(name)
        if kind not in ops.ACTIVATIONS:
            known = ", ".join([*ops.ACTIVATIONS, "prelu"])
            raise InputError(f"expected an activation of {known} but got {kind!r}")
        return self._then(ops.ACTIVATIONS[kind]())

    def __add__(self, other: Value) -> Value:
        return self._then(ops.Add(), other)

    def __mul__(self, factor: float) -> Value:
        return self._then(ops.Scale(float(factor)))

    def shift(self, amounts: tuple) -> Value:
        """Add a constant to each channel."""
        return self._then(ops.Shift(tuple(map(float, amounts))))

    def batch_norm(self, name: str) -> Value:
        """Batch normalisation."""
        return self._then(ops.BatchNorm(name, self.channels))

    def bicubic(self, scale: int) -> Value:
        """Enlarge by bicubic interpolation."""
        return self._then(ops.Bicubic(scale))

    def pixel_shuffle(self, scale: int) -> Value:
        """Turn groups of scale * scale channels into squares of pixels."""
        return self._then(ops.PixelShuffle(scale))

    def global_pool(self) -> Value:
        """The mean of each channel."""
        return self._then(ops.GlobalPool())

    def channel_scale(self, factors: Value) -> Value:
        """Multiply each channel by a factor of its own."""
        return self._then(ops.ChannelScale(), factors)


def begin(channels: int) -> Value:
    """The input of a new network, to be continued by the methods of Value."""
    draft = Draft()
    return Value(draft, draft.add(ops.Input(channels)), channels)


def evaluate(graph: Graph, image: np.ndarray) -> np.ndarray:
    """The network in float64, by the book: the reference for every engine.

    Parameters
    ----------
    graph : Graph with arrays
    image : uint8 array, shape (H, W, channels)

    Returns
    -------
    float64 array, shape (scale*H, scale*W, channels), nominally in [0, 255], neither clipped nor
    rounded.
    """
    return outputs(graph, image)[-1].transpose(1, 2, 0) * 255  # (C, H, W) -> (H, W, C)


def outputs(graph: Graph, image: np.ndarray, dtype: type = np.float64) -> list[np.ndarray]:
    """What every node of a network gives for a picture.

    Parameters
    ----------
    graph : Graph with arrays
    image : uint8 array, shape (H, W, channels)
    dtype : float type to compute in

    Returns
    -------
    list of arrays (C, H, W), one a node, None for those that the output does not depend on; the
    picture's own range is [0, 1].
    """
    found = [image.astype(dtype).transpose(2, 0, 1) / dtype(255)]  # (H, W, C) -> (C, H, W)
    for index, node in enumerate(graph.nodes[1:], start=1):
        given = [found[source] for source in node.sources]
        found.append(node.op.apply(graph.arrays, *given) if index in graph.live else None)
    return found
