"""Write a network as an ONNX model, from its operations alone.

Two forms: `float_model`, the network as trained (tensors in [0, 1]), and `uint8_model`, picture to
picture, for whoever embeds it (`elsr export`); `picture_model` is the latter without its last step,
which the OpenVINO and ONNX Runtime engines run.
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
class Form:
    """What a model shall be like.

    Attributes
    ----------
    size : (int, int) or None, width and height of the only picture it takes; None for any.
    precision : numpy float type of the values inside
    """

    size: tuple[int, int] | None = None
    precision: type = np.float32

    def shape(self, channels: int, scale: int = 1) -> list:
        """(N, H, W, channels) of the picture, `scale` times higher and wider; text where free."""
        names = ("h", "w") if scale == 1 else ("sh", "sw")
        height, width = [scale * side for side in reversed(self.size)] if self.size else names
        return [1 if self.size else "n", height, width, channels]


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


def float_model(graph: Graph, form: Form = Form()) -> onnx.ModelProto:
    """The network on tensors.

    Parameters
    ----------
    graph : Graph with arrays
    form : Form

    Returns
    -------
    onnx.ModelProto; input `lr` float32 (N, C, H, W) in [0, 1], output `sr` float32
    (N, C, scale*H, scale*W), not clipped. Where the form has no size N, H and W are free.
    """
    graph = folded(graph)
    nodes = Nodes(graph, form.precision)
    last = nodes.run(nodes.cast("lr"), len(graph.nodes))
    nodes.add("Cast", [last], output="sr", to=TensorProto.FLOAT)
    shapes = form.shape(graph.channels), form.shape(graph.widths[-1], graph.scale)
    planes = [[shape[0], shape[3], *shape[1:3]] for shape in shapes]
    return nodes.model(TensorProto.FLOAT, *planes)


def picture_model(graph: Graph) -> PictureModel:
    """The network on pictures as they lie in memory, without its last pixel shuffle.

    The shuffle is left to `shuffle.shuffle`, which does it faster than the runtimes' own operators.
    """
    model, scale = uint8_model(graph)
    return PictureModel(model.SerializeToString(), scale)


def uint8_model(graph: Graph, form: Form = Form(), *,
                whole: bool = False) -> tuple[onnx.ModelProto, int]:
    """The network from uint8 to uint8, and the scale of the pixel shuffle that it leaves out.

    Parameters
    ----------
    graph : Graph with arrays
    form : Form
    whole : bool, whether the model has the pixel shuffle, too; the scale is then 1.

    Returns
    -------
    onnx.ModelProto; input `lr` uint8 (N, H, W, C), output `sr` uint8 (N, s*H, s*W, C), or
    (N, H, W, s*s*C) without the last step. Where the form has no size N, H and W are free.
    """
    graph, scale = split_shuffle(graph)
    nodes = Nodes(graph, form.precision)
    picture = nodes.add("Transpose", [nodes.cast("lr")], perm=[0, 3, 1, 2])
    last = nodes.run(picture, len(graph.nodes) - (scale > 1))
    limits = [nodes.number(limit) for limit in (0, 255)]
    rounded = nodes.add("Round", [nodes.add("Clip", [last, *limits])])
    pixels = nodes.add("Cast", [rounded], to=TensorProto.UINT8)
    if whole and scale > 1:  # (N, s*s*C, H, W) -> (N, C, s*H, s*W); DCR reads channels as (i, j, c)
        pixels = nodes.add("DepthToSpace", [pixels], blocksize=scale, mode="DCR")
        scale = 1
    nodes.add("Transpose", [pixels], output="sr", perm=[0, 2, 3, 1])
    values = graph.widths[-1] * scale**2
    return nodes.model(TensorProto.UINT8, form.shape(graph.channels),
                       form.shape(values, graph.scale // scale)), scale


class Nodes:
    """The nodes and constants of a model under construction.

    Parameters
    ----------
    graph : Graph, whose operations are appended by `run`
    precision : numpy float type to compute in
    """

    def __init__(self, graph, precision=np.float32):
        self.graph, self._nodes, self._constants = graph, [], []
        self._precision = precision

    def run(self, picture, count):
        """Append the first `count` operations of the graph; the name of the last one's output."""
        values = [picture]
        for node in self.graph.nodes[1:count]:
            values.append(self.emit(node, [values[source] for source in node.sources]))
        return values[-1]

    def emit(self, node, given):
        """Append an operation of the graph; `given` are the names of what it reads."""
        if type(node.op) not in _EMITTERS:
            raise ops.Unsupported(f"ONNX has no {node.op.title}")
        return _EMITTERS[type(node.op)](self, node.op, given)

    def add(self, operator, inputs, output=None, **attributes):
        """Append a node; the name of its output."""
        output = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def cast(self, name):
        """Append a cast to the precision that is computed in; the name of its output."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self._precision))
        return self.add("Cast", [name], to=kind)

    def number(self, value):
        """The name of a constant, or constants, in the precision that is computed in."""
        return self.constant(np.asarray(value, self._precision))

    def constant(self, array):
        """The name of a constant."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def convolution(self, op, given):
        """A convolution with its padding."""
        (source,), reach = given, op.reach
        if op.padding == "edge":
            source, reach = self.pad(source, reach), 0
        return self.add("Conv", [source, *self.arrays(op)], pads=[reach] * 4)

    def pad(self, source, reach):
        """Append a border that repeats the edge."""
        pads = self.constant(np.array([0, 0, reach, reach] * 2, np.int64))
        return self.add("Pad", [source, pads], mode="edge")

    def arrays(self, op):
        """The names of a convolution's weights and bias."""
        return [self.number(self.graph.arrays[name]) for name in op.parameters()]

    def prelu(self, op, given):
        """A PReLU with a slope for each channel."""
        slopes = op.slopes(self.graph.arrays).reshape(-1, 1, 1)
        return self.add("PRelu", [*given, self.number(slopes)])

    def gelu(self, op, given):
        """x * (erf(x / sqrt(2)) + 1) / 2; opset 20 would have an operator for it."""
        scaled = self.add("Mul", [*given, self.number(0.5**0.5)])
        share = self.add("Add", [self.add("Erf", [scaled]), self.number(1)])
        half = self.add("Mul", [*given, self.number(0.5)])
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
    ops.Conv: Nodes.convolution,
    ops.PReLU: Nodes.prelu,
    ops.ReLU: lambda nodes, op, given: nodes.add("Relu", given),
    ops.LeakyReLU: lambda nodes, op, given: nodes.add("LeakyRelu", given, alpha=op.slope),
    ops.Tanh: lambda nodes, op, given: nodes.add("Tanh", given),
    ops.Sigmoid: lambda nodes, op, given: nodes.add("Sigmoid", given),
    ops.GELU: Nodes.gelu,
    ops.Add: lambda nodes, op, given: nodes.add("Add", given),
    ops.PixelShuffle: lambda nodes, op, given: nodes.add(
        "DepthToSpace", given, blocksize=op.scale, mode="CRD"),
    ops.GlobalPool: lambda nodes, op, given: nodes.add("GlobalAveragePool", given),
    ops.ChannelScale: lambda nodes, op, given: nodes.add("Mul", given),
}
