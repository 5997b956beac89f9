"""Turn a network's list of operations into the kernels of a training step and their calls.

A block is a convolution with the pointwise operations behind it. Forwards, each block is one
kernel. Backwards, one kernel takes what reaches a block's values from the blocks behind it through
the block's operations, and a second one makes the gradient of the convolution's weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.training.halide_kernels import (
    Arrival,
    Backward,
    Forward,
    Loss,
    Plane,
    Pointwise,
    Sums,
    Weights,
)

NAME = "the compiled training step"

# Operation behind a convolution -> what the kernels know of it, with the places of its sources.
POINTWISE: dict[type, Callable[[Any, tuple], Pointwise]] = {
    ops.PReLU: lambda op, sources: Pointwise("prelu", sources, shared=op.shared),
    ops.ReLU: lambda op, sources: Pointwise("relu", sources),
    ops.LeakyReLU: lambda op, sources: Pointwise("leaky", sources, slope=op.slope),
    ops.Tanh: lambda op, sources: Pointwise("tanh", sources),
    ops.GELU: lambda op, sources: Pointwise("gelu", sources),
    ops.Add: lambda op, sources: Pointwise("add", sources),
}


@dataclass(frozen=True)
class Block:
    """A convolution and the operations behind it.

    Attributes
    ----------
    first : int, the convolution's node
    steps : tuple of Pointwise; the i-th is node first + 1 + i.
    outers : tuple of int, nodes before the block that its operations read
    """

    first: int
    steps: tuple[Pointwise, ...]
    outers: tuple[int, ...]

    @property
    def end(self):
        """The node behind the block."""
        return self.first + 1 + len(self.steps)

    def place(self, node):
        """Where a node stands in the block; of one before it, which of the outers it is."""
        return node - self.first if node >= self.first else -1 - self.outers.index(node)


@dataclass(frozen=True)
class Call:
    """A kernel and its arguments and results, as names.

    Names are tuples: ("value", node) and ("gradient", node) are planes; ("values", block) and
    ("gradients", block) all planes that a kernel writes; ("parameter", name) and ("sum", name) a
    parameter and its gradient; ("product", name) the planes whose sum is the gradient of a PReLU's
    slopes; ("rows", node) a value, as rows; ("hr",), ("mask",), ("losses",), ("loss gradient",).
    """

    kernel: Any
    names: tuple[tuple, ...]


class Plan:
    """A network as blocks, and the calls of kernels that make a training step.

    Parameters
    ----------
    graph : Graph
    loss : a name in `Loss.NAMES`
    batch, height, width : int, of the LR patches
    machine : Machine

    Attributes
    ----------
    calls : list of Call, in order
    planes : dict of name -> (place among those that its kernel writes, name of these)
    written : dict of name -> (sets of planes, channels), of what the kernels write
    slots : dict of such a name -> the memory it takes; several take the same one in turn, so that
        more of a step stays in the cache.
    slot_planes : list of int, planes of each memory
    parameters : dict of name -> shape
    sums : dict of name -> shape, of the loss and the gradients as the kernels write them: weights
        maybe for a few channels more, a slope that all channels share for each channel
    shared : set of the names of such slopes
    plane : Plane
    channels, colours, scale : int, of the LR and the HR image, and the enlargement

    Raises
    ------
    ops.Unsupported if there is no kernel for an operation, or for the place where it stands.
    """

    def __init__(self, graph: Graph, loss: str, batch: int, height: int, width: int, machine):
        if loss not in Loss.NAMES:
            raise ops.Unsupported(f"{NAME} has no loss {loss}")
        self._machine = machine
        self._nodes, self.scale = _without_shuffle(graph.nodes), graph.scale
        self._last = len(self._nodes) - 1
        self._readers = [[] for _ in self._nodes]  # a node that reads another twice is there twice
        for index, node in enumerate(self._nodes):
            for source in node.sources:
                self._readers[source].append(index)
        self._widths = graph.widths[: len(self._nodes)]
        self._blocks = self._cut()
        self._block_of = {
            node: block for block in self._blocks for node in range(block.first, block.end)
        }
        self.channels, self.colours = self._widths[0], self._widths[-1] // self.scale**2
        self.plane = self._make_plane(height, width)
        self.parameters, self.sums, self.planes, self.written = {}, {}, {}, {}
        self.shared = {name for node in self._nodes for name in _shared_slopes(node.op)}
        count = batch * self._widths[-1] * height * width
        self.calls = self._forward() + self._loss(loss, count) + self._backward()

        self.slots, self.slot_planes = self._share_memory()

    def kernels(self):
        """Every kernel once, in the order of the calls."""
        return list(dict.fromkeys(call.kernel for call in self.calls))

    def _share_memory(self):
        """(name -> memory, planes of each memory): free again after the last call with the name.

        All kernels leave zeros between the rows, so it does not matter what wrote there before.
        """
        last = {}
        for index, call in enumerate(self.calls):
            last.update({self._written_in(name): index for name in call.names})
        slots, sizes, free = {}, [], []
        for index, call in enumerate(self.calls):
            for name in self.written.keys() & set(call.names):
                size = math.prod(self.written[name])
                slots[name] = next((slot for slot in free if sizes[slot] == size), len(sizes))
                if slots[name] == len(sizes):
                    sizes.append(size)
                else:
                    free.remove(slots[name])
            free += [slot for name, slot in slots.items() if last[name] == index]
        return slots, sizes

    def _written_in(self, name):
        """The name of all planes that a kernel writes, for that of one of them."""
        name = ("value", name[1]) if name[0] == "rows" else name
        return self.planes[name][1] if name in self.planes else name

    # The network, cut into blocks.

    def _cut(self):
        """Every operation but a convolution belongs to the convolution before it."""
        blocks = []
        for index, node in enumerate(self._nodes[1:], 1):
            if _is_conv(node):
                blocks.append(Block(index, (), ()))
            elif not blocks:
                raise ops.Unsupported(f"{NAME} has no {node.op.title} of the input")
            else:
                blocks[-1] = self._appended(blocks[-1], node)
        return blocks

    def _appended(self, block, node):
        """A block with one more operation."""
        outers = [source for source in node.sources if source < block.first]
        fits = all(self._widths[source] == self._widths[block.first] for source in node.sources)
        if outers and not _is_add(node) or not fits:
            raise ops.Unsupported(f"{NAME} has no {node.op.title} apart from a convolution")
        block = Block(block.first, block.steps, tuple(dict.fromkeys([*block.outers, *outers])))
        step = POINTWISE[type(node.op)](node.op, tuple(map(block.place, node.sources)))
        return Block(block.first, (*block.steps, step), block.outers)

    def _make_plane(self, height, width):
        sides = [self._nodes[block.first].op.kernel for block in self._blocks]
        return Plane(height, width, max(1, max(sides) // 2), self._machine.lanes)

    # Forwards.

    def _forward(self):
        return [self._forward_call(block) for block in self._blocks]

    def _forward_call(self, block):
        node = self._nodes[block.first]
        op, source = node.op, node.sources[0]
        stored = [i for i in range(block.first, block.end) if self._is_kept(i, block)]
        kernel = Forward(op.inputs, op.outputs, op.kernel, block.steps,
                         tuple(map(block.place, stored)))
        weight, bias = self._convolution_parameters(op)
        slopes = [self._slopes(step) for step in self._prelus(block)]
        outers = [("value", outer) for outer in block.outers]
        result = self._write(("values", block.first), [("value", i) for i in stored], op.outputs)
        names = [("value", source), weight, bias, ("mask",), *slopes, *outers, result]
        return Call(kernel, tuple(names))

    def _is_kept(self, node, block):
        """Whether anything but the operations behind it needs a value: other blocks, the loss, or
        a derivative."""
        readers = self._readers[node]
        inner = [self._nodes[reader].op for reader in readers if reader < block.end]
        is_derived_from = any(not isinstance(op, (ops.Add, ops.Tanh)) for op in inner)
        is_tanh = isinstance(self._nodes[node].op, ops.Tanh)
        return node == self._last or len(inner) < len(readers) or is_derived_from or is_tanh

    def _convolution_parameters(self, op):
        """The names of weight and bias, which are noted with their shapes."""
        self.parameters.update(op.parameters())
        return ("parameter", op.weight), ("parameter", op.bias)

    def _slopes(self, node):
        """The name of a PReLU's slopes, which are noted with their shape."""
        parameters = self._nodes[node].op.parameters()
        self.parameters.update(parameters)
        return ("parameter", *parameters)

    def _prelus(self, block):
        return [i for i in range(block.first, block.end) 
                if isinstance(self._nodes[i].op, ops.PReLU)]

    def _write(self, result, names, channels):
        """Note which sets of planes a kernel writes."""
        self.written[result] = len(names), channels
        self.planes.update({name: (index, result) for index, name in enumerate(names)})
        return result

    # The loss.

    def _loss(self, loss, count):
        kernel = Loss(loss, self.colours, self.scale, count)
        width = self._widths[-1]
        losses = self._write(("losses",), [("loss gradient",), ("loss",)], width)
        self.sums["loss"] = (width,)
        return [
            Call(kernel, (("rows", self._last), ("hr",), losses)),
            Call(Sums(width), (("loss",), ("sum", "loss"))),
        ]

    # Backwards.

    def _backward(self):
        calls = []
        for block in reversed(self._blocks):
            wanted = self._wanted(block)
            if wanted or self._prelus(block):
                calls += self._backward_calls(block, wanted)
            calls.append(self._weights_call(block))
        return calls

    def _wanted(self, block):
        """Nodes whose gradient others read, but for those that get one handed on as it is."""
        nodes = [block.first]
        for node in range(block.first, block.end):
            outers = [source for source in self._nodes[node].sources if source < block.first]
            nodes += [node] if node > block.first and any(outers) else []  # the input needs none
        roots = dict.fromkeys(self._root(node) for node in nodes)
        return [root for root in roots if not self._is_handed_on(root)]

    def _root(self, node):
        """The node with the same gradient, behind the additions that a node alone goes into."""
        readers, block = self._readers[node], self._block_of[node]
        alone = len(readers) == 1 and node != self._last and readers[0] < block.end
        return self._root(readers[0]) if alone and _is_add(self._nodes[readers[0]]) else node

    def _arriving(self, node):
        """(convolutions, names of planes) that bring a node's gradient from outside its block."""
        end = self._block_of[node].end
        outside = [reader for reader in self._readers[node] if reader >= end]
        convolutions = [reader for reader in outside if _is_conv(self._nodes[reader])]
        planes = [self._gradient(reader) for reader in outside if reader not in convolutions]
        return convolutions, planes + [("loss gradient",)] * (node == self._last)

    def _is_handed_on(self, node):
        """Whether a node's gradient is one that is there already."""
        convolutions, planes = self._arriving(node)
        inside = [i for i in self._readers[node] if i < self._block_of[node].end]
        return len(planes) == 1 and not convolutions and not inside

    def _gradient(self, node):
        """The name of a node's gradient."""
        root = self._root(node)
        return self._arriving(root)[1][0] if self._is_handed_on(root) else ("gradient", root)

    def _backward_calls(self, block, wanted):
        slopes, arrivals, given = [self._slopes(i) for i in self._prelus(block)], [], []
        for node in range(block.first, block.end):
            convolutions, planes = self._arriving(node)
            if convolutions or planes:
                readers = [self._nodes[i].op for i in convolutions]
                sides = tuple((op.outputs, op.kernel) for op in readers)
                arrivals.append(Arrival(block.place(node), sides, len(planes)))
                for index, op in zip(convolutions, readers):
                    given += [("parameter", op.weight), self._gradient(index)]
                given += planes
        width = self._widths[block.first]
        kernel = Backward(width, block.steps, tuple(arrivals), tuple(map(block.place, wanted)))
        products = [("product", name) for _, name in slopes]
        results = [("gradient", node) for node in wanted] + products
        result = self._write(("gradients", block.first), results, width)
        names = [("mask",), *slopes, *self._derived_from(block), *given, result]
        self.sums.update({name: (width,) for _, name in slopes})
        return [Call(kernel, tuple(names))] + [
            Call(Sums(width), (product, ("sum", product[1]))) for product in products
        ]

    def _derived_from(self, block):
        """The value that the derivative of each operation of a block depends on."""
        operations = range(block.first + 1, block.end)
        return [
            ("value", i if isinstance(self._nodes[i].op, ops.Tanh) else self._nodes[i].sources[0])
            for i in operations if not _is_add(self._nodes[i])
        ]

    def _weights_call(self, block):
        op = self._nodes[block.first].op
        kernel = Weights(op.inputs, op.outputs, op.kernel)
        self.sums[op.weight] = (kernel.rows(self._machine), op.inputs, op.kernel, op.kernel)
        self.sums[op.bias] = (op.outputs,)
        source = ("value", self._nodes[block.first].sources[0])
        sums = ("sum", op.weight), ("sum", op.bias)
        return Call(kernel, (source, self._gradient(block.first), *sums))


def _without_shuffle(nodes):
    """The nodes before the pixel shuffle at the end, if there is one.

    Raises
    ------
    ops.Unsupported if there is no kernel for one of them.
    """
    nodes = nodes[:-1] if isinstance(nodes[-1].op, ops.PixelShuffle) else nodes
    for node in nodes[1:]:
        if not isinstance(node.op, (ops.Conv, *POINTWISE)):
            raise ops.Unsupported(f"{NAME} has no {node.op.title}")
        if _is_conv(node) and node.op.padding != "zero":
            raise ops.Unsupported(f"{NAME} has no padding of kind {node.op.padding}")
    return nodes


def _shared_slopes(op):
    return list(op.parameters()) if isinstance(op, ops.PReLU) and op.shared else []


def _is_conv(node):
    return isinstance(node.op, ops.Conv)


def _is_add(node):
    return isinstance(node.op, ops.Add)
