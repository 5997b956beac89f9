"""A network as an ONNX model, made from its weights alone.

Two forms: `float_model`, the network as trained (tensors in [0, 1]), for whoever embeds it, and
`uint8_model`, picture to picture, which the OpenVINO and ONNX Runtime engines run.
"""

from __future__ import annotations

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.graph import INPUT, Conv, PixelShuffle, PReLU

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    raise InputError(
        "ONNX is not installed: `pip install 'elsr-paddle[onnx]'` brings it"
    ) from error

OPSET = 13  # the oldest with everything used here; any runtime since 2020 reads it
IR_VERSION = 8


def float_model(graph):
    """The network on tensors.

    Parameters
    ----------
    graph : Graph, as `build_graph` returns it

    Returns
    -------
    onnx.ModelProto; input `lr` float32 (N, C, H, W) in [0, 1], output `sr` float32
    (N, C, scale*H, scale*W), not clipped. N, H and W are free.
    """
    nodes = _Nodes()
    values = {INPUT: "lr"}
    for index, layer in enumerate(graph.layers):
        values[index] = nodes.layer(layer, values)
    nodes.add("Identity", [values[len(graph.layers) - 1]], output="sr")
    shapes = (["n", graph.channels, "h", "w"], ["n", graph.channels, "sh", "sw"])
    return nodes.model(TensorProto.FLOAT, *shapes)


def uint8_model(graph, *, picture=True):
    """The network on pictures as they lie in memory.

    Parameters
    ----------
    graph : Graph, as `build_graph` returns it
    picture : bool; False leaves the pixel shuffle to `shuffle.shuffle`, which does it faster
        than the runtimes' own operators.

    Returns
    -------
    onnx.ModelProto; input `lr` uint8 (N, H, W, C), output `sr` uint8 (N, scale*H, scale*W, C), or
    (N, H, W, scale*scale*C) without the last step. N, H and W are free.
    """
    graph = graph.on_levels().interleaved()
    nodes = _Nodes()
    levels = nodes.add("Cast", ["lr"], to=TensorProto.FLOAT)
    values = {INPUT: nodes.add("Transpose", [levels], perm=[0, 3, 1, 2])}
    for index, layer in enumerate(graph.layers[:-1]):
        values[index] = nodes.layer(layer, values)
    limits = [nodes.constant(np.float32(limit)) for limit in (0, 255)]
    clipped = nodes.add("Clip", [values[len(graph.layers) - 2], *limits])
    pixels = nodes.add("Cast", [nodes.add("Round", [clipped])], to=TensorProto.UINT8)
    if picture:  # (N, s*s*C, H, W) -> (N, C, s*H, s*W); DCR reads channels as (i, j, c)
        pixels = nodes.add("DepthToSpace", [pixels], blocksize=graph.scale, mode="DCR")
    nodes.add("Transpose", [pixels], output="sr", perm=[0, 2, 3, 1])
    shuffled, packed = ["sh", "sw", graph.channels], ["h", "w", graph.channels * graph.scale**2]
    inside = shuffled if picture else packed
    return nodes.model(TensorProto.UINT8, ["n", "h", "w", graph.channels], ["n", *inside])


class _Nodes:
    """The nodes and constants of a model under construction."""

    def __init__(self):
        self._nodes, self._constants = [], []

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

    def layer(self, layer, values):
        """Append a layer of a graph; the name of its output."""
        source = values[layer.source]
        if isinstance(layer, Conv):
            rows, columns = (side // 2 for side in layer.kernel.shape[2:])
            weights = [self.constant(layer.kernel), self.constant(layer.bias)]
            return self.add("Conv", [source, *weights], pads=[rows, columns, rows, columns])
        if isinstance(layer, PReLU):
            return self.add("PRelu", [source, self.constant(layer.slopes.reshape(-1, 1, 1))])
        if isinstance(layer, PixelShuffle):
            return self.add("DepthToSpace", [source], blocksize=layer.scale, mode="CRD")
        return self.add("Add", [source, values[layer.other]])

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
