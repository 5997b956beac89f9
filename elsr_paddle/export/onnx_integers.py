"""Write a quantised network as an ONNX model: operations between QuantizeLinear and its inverse.

Runtimes put integer kernels in the place of each operation between them (the QDQ form). Features
are uint8, so that a picture goes in and comes out as it is; weights are int8, biases int32.
"""

from __future__ import annotations

import numpy as np

from elsr_paddle.engines.onnx_model import Form, Nodes, TensorProto, onnx
from elsr_paddle.export.quantised import Quantised
from elsr_paddle.export.steps import LOWEST, PIXELS
from elsr_paddle.networks import operations as ops


def integer_model(made: Quantised, form: Form, of_bytes: bool) -> onnx.ModelProto:
    """The network in integers.

    Parameters
    ----------
    made : Quantised
    form : Form; its precision does not enter.
    of_bytes : bool; input `lr` and output `sr` are uint8 pictures (N, H, W, C), or float32 tensors
        (N, C, H, W) in [0, 1].
    """
    nodes, graph = _IntegerNodes(made), made.graph
    shapes = form.shape(graph.channels), form.shape(graph.widths[-1], graph.scale)
    if of_bytes:
        last = nodes.run(nodes.add("Transpose", ["lr"], perm=[0, 3, 1, 2]), len(graph.nodes))
        nodes.add("Transpose", [last], output="sr", perm=[0, 2, 3, 1])
        return nodes.model(TensorProto.UINT8, *shapes)
    last = nodes.run(nodes.quantise("lr", PIXELS), len(graph.nodes))
    nodes.dequantise(last, PIXELS, output="sr")
    planes = [[shape[0], shape[3], *shape[1:3]] for shape in shapes]
    return nodes.model(TensorProto.FLOAT, *planes)


class _IntegerNodes(Nodes):
    """Names are those of uint8 values; each operation is surrounded by conversions."""

    def __init__(self, made):
        super().__init__(made.graph)
        self._made = made
        self._index_of = {id(node): index for index, node in enumerate(made.graph.nodes)}

    def emit(self, node, given):
        """Append an operation of the graph, on floats between two conversions."""
        if isinstance(node.op, ops.PixelShuffle):
            return super().emit(node, given)
        floats = [self.dequantise(name, self._made.steps[source])
                  for name, source in zip(given, node.sources)]
        self._at = self._index_of[id(node)]
        return self.quantise(super().emit(node, floats), self._made.steps[self._at])

    def pad(self, source, reach):
        """As that of floats, with conversions of its own: what is between two is one operation."""
        step = self._made.steps[self._made.graph.nodes[self._at].sources[0]]
        return self.dequantise(self.quantise(super().pad(source, reach), step), step)

    def arrays(self, op):
        """Weights and bias, converted; both have a scale for each output."""
        integers = self._made.weights(op), self._made.bias(self._at)
        scales = self._made.weight_scales[op.weight], self._made.bias_scales(self._at)
        return [self._convert(each, scale) for each, scale in zip(integers, scales)]

    def _convert(self, integers, scales):
        zeros = self.constant(np.zeros(len(scales), integers.dtype))
        given = [self.constant(integers), self.constant(np.float32(scales)), zeros]
        return self.add("DequantizeLinear", given, axis=0)

    def quantise(self, name, step):
        """Append the rounding of floats to integers."""
        return self.add("QuantizeLinear", [name, *self._step(step)])

    def dequantise(self, name, step, output=None):
        """Append the conversion of integers to floats."""
        return self.add("DequantizeLinear", [name, *self._step(step)], output)

    def _step(self, step):
        zero = np.uint8(step.zero - LOWEST)
        return self.constant(np.float32(step.scale)), self.constant(zero)
