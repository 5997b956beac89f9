"""Write a network as an ONNX model, from its operations alone.

Two forms: `float_model`, the network as trained (tensors in [0, 1]), for whoever embeds it, and
`picture_model`, picture to picture, which the OpenVINO and ONNX Runtime engines run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elsr_paddle.engines.shuffle import shuffle, split_shuffle
from elsr_paddle.errors import needs
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.rewrites import folded

onnx = needs("onnx", "onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

OPSET = 13  # the oldest with nearly all that is used here; any runtime since 2020 reads it
IR_VERSION = 8


@dataclass(frozen=True)
class PictureModel:
    """An ONNX model from uint8 pictures to uint8 pictures, whose pixel shuffle comes after it.

    Attributes
    ----------
    serialized : bytes; input `lr` uint8 (N, H, W, C), output `sr` uint8 (N, h, w, values)
    scale : int, of the pixel shuffle
    """

    serialized: bytes
    scale: int

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """The output of the model -> uint8 (s*H, s*W, C)."""
        return shuffle(pixels, self.scale)


def float_model(graph: Graph) -> onnx.ModelProto:
    """The network on tensors.

    Parameters
    ----------
    graph : Graph with arrays

    Returns
    -------
    onnx.ModelProto; input `lr` float32 (N, C, H, W) in [0, 1], output `sr` float32
    (N, C, scale*H, scale*W), not clipped. N, H and W are free.
    """
    graph = folded(graph)
    nodes = _Nodes(graph)
    nodes.add("Identity", [nodes.run("lr", len(graph.nodes))], output="sr")
    shapes = (["n", graph.channels, "h", "w"], ["n", graph.widths[-1], "sh", "sw"])
    return nodes.model(TensorProto.FLOAT, *shapes)


def picture_model(graph: Graph) -> PictureModel:
    """The network on pictures as they lie in memory, without its last pixel shuffle.

    The shuffle is left to `shuffle.shuffle`, which does it faster than the runtimes' own operators.
    """
    model, scale = uint8_model(graph)
    return PictureModel(model.SerializeToString(), scale)


def uint8_model(graph: Graph, *, whole: bool = False) -> tuple[onnx.ModelProto, int]:
    """The network from uint8 to uint8, and the scale of the pixel shuffle that it leaves out.

    Parameters
    ----------
    graph : Graph with arrays
    whole : bool, whether the model has the pixel shuffle, too; the scale is then 1.

    Returns
    -------
    onnx.ModelProto; input `lr` uint8 (N, H, W, C), output `sr` uint8 (N, s*H, s*W, C), or
    (N, H, W, s*s*C) without the last step. N, H and W are free.
    """
    graph, scale = split_shuffle(graph)
    nodes = _Nodes(graph)
    levels = nodes.add("Cast", ["lr"], to=TensorProto.FLOAT)
    picture = nodes.add("Transpose", [levels], perm=[0, 3, 1, 2])
    last = nodes.run(picture, len(graph.nodes) - (scale > 1))
    limits = [nodes.constant(np.float32(limit)) for limit in (0, 255)]
    rounded = nodes.add("Round", [nodes.add("Clip", [last, *limits])])
    pixels = nodes.add("Cast", [rounded], to=TensorProto.UINT8)
    if whole and scale > 1:  # (N, s*s*C, H, W) -> (N, C, s*H, s*W); DCR reads channels as (i, j, c)
        pixels = nodes.add("DepthToSpace", [pixels], blocksize=scale, mode="DCR")
        scale = 1
    nodes.add("Transpose", [pixels], output="sr", perm=[0, 2, 3, 1])
    values = graph.widths[-1] * scale**2
    return nodes.model(TensorProto.UINT8, ["n", "h", "w", graph.channels],
                       ["n", "sh", "sw", values]), scale


class _Nodes:
    """The nodes and constants of a model under construction."""

    def __init__(self, graph):
        self._graph, self._nodes, self._constants = graph, [], []

    def run(self, picture, count):
        """Append the first `count` operations of the graph; the name of the last one's output."""
        values = [picture]
        for node in self._graph.nodes[1:count]:
            if type(node.op) not in _EMITTERS:
                raise ops.Unsupported(f"ONNX has no {node.op.title}")
            given = [values[source] for source in node.sources]
            values.append(_EMITTERS[type(node.op)](self, node.op, given))
        return values[-1]

    def add(self, operator, inputs, output=None, **attributes):
        """Append a node; the name of its output."""
        output = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, array):
        """The name of a constant."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def convolution(self, op, given):
        """A convolution with its padding."""
        (source,), reach = given, op.reach
        if op.padding == "edge":
            pads = self.constant(np.array([0, 0, reach, reach] * 2, np.int64))
            source, reach = self.add("Pad", [source, pads], mode="edge"), 0
        arrays = [self.constant(self._graph.arrays[name]) for name in op.parameters()]
        return self.add("Conv", [source, *arrays], pads=[reach] * 4)

    def prelu(self, op, given):
        """A PReLU with a slope for each channel."""
        slopes = op.slopes(self._graph.arrays).reshape(-1, 1, 1)
        return self.add("PRelu", [*given, self.constant(np.ascontiguousarray(slopes))])

    def gelu(self, op, given):
        """x * (erf(x / sqrt(2)) + 1) / 2; opset 20 would have an operator for it."""
        scaled = self.add("Mul", [*given, self.constant(np.float32(0.5**0.5))])
        share = self.add("Add", [self.add("Erf", [scaled]), self.constant(np.float32(1))])
        half = self.add("Mul", [*given, self.constant(np.float32(0.5))])
        return self.add("Mul", [half, share])

    def model(self, element, input_shape, output_shape):
        """The model, checked against the ONNX specification."""
        graph = helper.make_graph(
            self._nodes,
            "elsr",
            [helper.make_tensor_value_info("lr", element, input_shape)],
            [helper.make_tensor_value_info("sr", element, output_shape)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


# Operation -> the name of its output, of the nodes, the operation and the names of its inputs.
_EMITTERS = {
    ops.Conv: _Nodes.convolution,
    ops.PReLU: _Nodes.prelu,
    ops.ReLU: lambda nodes, op, given: nodes.add("Relu", given),
    ops.LeakyReLU: lambda nodes, op, given: nodes.add("LeakyRelu", given, alpha=op.slope),
    ops.Tanh: lambda nodes, op, given: nodes.add("Tanh", given),
    ops.Sigmoid: lambda nodes, op, given: nodes.add("Sigmoid", given),
    ops.GELU: _Nodes.gelu,
    ops.Add: lambda nodes, op, given: nodes.add("Add", given),
    ops.PixelShuffle: lambda nodes, op, given: nodes.add(
        "DepthToSpace", given, blocksize=op.scale, mode="CRD"),
    ops.GlobalPool: lambda nodes, op, given: nodes.add("GlobalAveragePool", given),
    ops.ChannelScale: lambda nodes, op, given: nodes.add("Mul", given),
}
