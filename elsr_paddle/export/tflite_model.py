"""Write a network as a TFLite model: each operation straight into the flatbuffer.

Only the schema of the format is taken from ai-edge-litert; no TensorFlow is needed. Features are
(1, H, W, C). A pixel shuffle reads its channels as (i, j, c) here, so the convolution before it
gives them in that order.

Sources: the TFLite schema and its quantisation specification (per-channel int8 weights, int8
features, int32 biases).
"""

from __future__ import annotations

import numpy as np

from elsr_paddle.errors import needs
from elsr_paddle.export.quantised import Quantised
from elsr_paddle.export.steps import PIXELS, Step
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.rewrites import LEVELS, folded, on_levels

flatbuffers = needs("flatbuffers", "export")
schema = needs("ai_edge_litert.schema_py_generated", "export")
Operator, Type = schema.BuiltinOperator, schema.TensorType

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # bytes, of the data of every tensor, as the schema asks for
_TYPES = {np.dtype(np.float32): Type.FLOAT32, np.dtype(np.int32): Type.INT32,
          np.dtype(np.int8): Type.INT8, np.dtype(np.uint8): Type.UINT8}
# The first version of each operator that has the integer kernels; 1 where it is not listed.
_INTEGER_VERSIONS = {
    Operator.CONV_2D: 3, Operator.ADD: 2, Operator.MUL: 2, Operator.DEPTH_TO_SPACE: 2,
    Operator.MEAN: 2, Operator.TANH: 2, Operator.LOGISTIC: 2, Operator.LEAKY_RELU: 2,
    Operator.MIRROR_PAD: 2, Operator.RELU: 2, Operator.GELU: 2, Operator.QUANTIZE: 2,
    Operator.GATHER: 2,
}  # fmt: skip


def float_model(graph: Graph, size: tuple | None, of_bytes: bool) -> bytes:
    """The network in float32.

    Parameters
    ----------
    graph : Graph with arrays
    size : (int, int) or None, width and height of the only picture it takes; None for any.
    of_bytes : bool; input `lr` and output `sr` are uint8 pictures, or float32 in [0, 1], not
        clipped; (1, H, W, C) either way.
    """
    graph = folded(graph)
    nodes = _Nodes(on_levels(graph) if of_bytes else graph, size)
    picture = nodes.input(np.uint8 if of_bytes else np.float32)
    if not of_bytes:
        return nodes.model(nodes.run(picture))
    last = nodes.run(nodes.add(Operator.CAST, [picture], np.float32))
    low = nodes.add(Operator.RELU, [last], np.float32)
    limit = nodes.constant(np.float32(LEVELS))
    clipped = nodes.add(Operator.MINIMUM, [low, limit], np.float32,
                        options=schema.MaximumMinimumOptionsT())
    rounded = nodes.add(Operator.ROUND, [clipped], np.float32)
    return nodes.model(nodes.add(Operator.CAST, [rounded], np.uint8))


def integer_model(made: Quantised, size: tuple | None) -> bytes:
    """The network in 8-bit integers; input `lr` and output `sr` are uint8 pictures."""
    nodes = _IntegerNodes(made, size)
    bytes_step = Step(PIXELS.scale, 0)
    picture = nodes.input(np.uint8, step=bytes_step)
    last = nodes.run(nodes.add(Operator.QUANTIZE, [picture], np.int8, step=PIXELS))
    return nodes.model(nodes.add(Operator.QUANTIZE, [last], np.uint8, step=bytes_step))


class _Nodes:
    """The tensors and operators of a model under construction; tensors go by their index."""

    precision = np.float32

    def __init__(self, graph, size, steps=None):
        self._graph, self._size, self._steps = graph, size, steps
        self._tensors, self._operators, self._codes = [], [], []
        self._buffers = [schema.BufferT()]  # the first one is empty: that of all features
        self._index = 0  # of the graph's node that is written

    def input(self, kind, step=None):
        """Append the picture."""
        self._width, self._factor = self._graph.channels, 1
        return self._tensor(kind, step=step)

    def run(self, picture):
        """Append all operations of the graph; the tensor of the last one's output."""
        values = [picture]
        for index, node in enumerate(self._graph.nodes[1:], start=1):
            if type(node.op) not in _EMITTERS:
                raise ops.Unsupported(f"TFLite has no {node.op.title}")
            self._index = index
            self._width, self._factor = self._graph.widths[index], self._graph.resolutions[index]
            given = [values[source] for source in node.sources]
            values.append(_EMITTERS[type(node.op)](self, node.op, given))
        return values[-1]

    def add(self, code, inputs, kind=None, *, options=None, step=None, shape=None):
        """Append an operator; the tensor of its output."""
        kind, step = kind or self.precision, step or self.step(self._index)
        output = self._tensor(kind, step=step, shape=shape)
        operator = schema.OperatorT(opcodeIndex=self._code(code), inputs=inputs, outputs=[output])
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._operators.append(operator)
        return output

    def step(self, index):
        """Of the output of a node; None for floats."""
        return self._steps[index] if self._steps else None

    def constant(self, array, scales=None, axis=0):
        """Append a tensor that holds an array."""
        array = np.ascontiguousarray(array)
        self._buffers.append(schema.BufferT(data=array.reshape(-1).view(np.uint8)))
        quantization = None
        if scales is not None:
            scales = np.atleast_1d(scales)
            quantization = schema.QuantizationParametersT(
                scale=scales.tolist(), zeroPoint=[0] * len(scales), quantizedDimension=axis)
        self._tensors.append(schema.TensorT(
            name=f"constant_{len(self._tensors)}", shape=list(array.shape),
            type=_TYPES[array.dtype], buffer=len(self._buffers) - 1, quantization=quantization))
        return len(self._tensors) - 1

    def _tensor(self, kind, step=None, shape=None):
        """Append a tensor of features."""
        signature = shape or self._shape(-1)
        tensor = schema.TensorT(name=f"value_{len(self._tensors)}", type=_TYPES[np.dtype(kind)],
                                shape=[abs(side) for side in signature], buffer=0)
        if -1 in signature:
            tensor.shapeSignature = signature
        if step is not None:
            tensor.quantization = schema.QuantizationParametersT(
                scale=[step.scale], zeroPoint=[step.zero])
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _shape(self, free, border=0):
        """(1, H, W, C) of the node that is written; `free` where any size is taken."""
        if self._factor == 0:  # pooled
            return [1, 1, 1, self._width]
        if self._size is None:
            return [1, free, free, self._width]
        width, height = (self._factor * side + 2 * border for side in self._size)
        return [1, height, width, self._width]

    def _code(self, code):
        if code not in self._codes:
            self._codes.append(code)
        return self._codes.index(code)

    def convolution(self, op, given):
        """A convolution with its padding; edges are repeated a pixel at a time."""
        (source,), padding = given, schema.Padding.SAME
        if op.padding == "edge":
            padding = schema.Padding.VALID
            for border in range(1, op.reach + 1):
                source = self._pad(source, op.inputs, border)
        options = schema.Conv2DOptionsT(padding=padding, strideH=1, strideW=1, dilationHFactor=1,
                                        dilationWFactor=1)
        return self.add(Operator.CONV_2D, [source, *self.arrays(op)], options=options)

    def _pad(self, source, channels, border):
        pads = self.constant(np.int32([[0, 0], [1, 1], [1, 1], [0, 0]]))
        options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.SYMMETRIC)
        shape = [*self._shape(-1, border)[:3], channels]
        return self.add(Operator.MIRROR_PAD, [source, pads], options=options, shape=shape,
                        step=self.step(self._graph.nodes[self._index].sources[0]))

    def arrays(self, op):
        """The tensors of a convolution's weights, (out, rows, columns, in), and bias."""
        order = self._order(self._index)
        kernel, bias = (self._graph.arrays[name][order] for name in op.parameters())
        return [self.constant(kernel.transpose(0, 2, 3, 1)), self.constant(bias)]

    def _order(self, index):
        """Which channels a convolution gives: another order where a shuffle alone reads them."""
        readers = [self._graph.nodes[reader].op for reader in self._graph.readers[index]]
        if len(readers) == 1 and isinstance(readers[0], ops.PixelShuffle):
            return _depth_order(self._graph.widths[index], readers[0].scale)
        return np.arange(self._graph.widths[index])

    def shuffle(self, op, given):
        """A pixel shuffle; where no convolution could reorder the channels, they are gathered."""
        (source,), before = given, self._graph.nodes[self._index].sources[0]
        width = self._graph.widths[before]
        is_ordered = isinstance(self._graph.nodes[before].op, ops.Conv) and (
            len(self._graph.readers[before]) == 1)
        if not is_ordered and self._width > 1:
            order = self.constant(np.int32(_depth_order(width, op.scale)))
            size = self._size and [side * self._graph.resolutions[before] for side in self._size]
            shape = [1, *(size[::-1] if size else (-1, -1)), width]
            source = self.add(Operator.GATHER, [source, order], shape=shape,
                              options=schema.GatherOptionsT(axis=3), step=self.step(before))
        return self.add(Operator.DEPTH_TO_SPACE, [source],
                        options=schema.DepthToSpaceOptionsT(blockSize=op.scale))

    def prelu(self, op, given):
        """A PReLU with a slope for each channel."""
        slopes = op.slopes(self._graph.arrays).reshape(1, 1, -1)
        return self.add(Operator.PRELU, [*given, self.slopes(np.float32(slopes))])

    def slopes(self, slopes):
        """The tensor of a PReLU's slopes."""
        return self.constant(slopes)

    def pool(self, op, given):
        """The mean of rows and columns."""
        axes = self.constant(np.int32([1, 2]))
        options = schema.ReducerOptionsT(keepDims=True)
        return self.add(Operator.MEAN, [*given, axes], options=options)

    def model(self, last):
        """The bytes of the model."""
        self._tensors[0].name, self._tensors[last].name = "lr", "sr"
        graph = schema.SubGraphT(tensors=self._tensors, operators=self._operators, inputs=[0],
                                 outputs=[last], name="elsr")
        model = schema.ModelT(version=3, subgraphs=[graph], buffers=self._buffers,
                              operatorCodes=[self._operator_code(code) for code in self._codes],
                              description="elsr-paddle")
        builder = _AlignedBuilder(2**14)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _operator_code(self, code):
        version = _INTEGER_VERSIONS.get(code, 1) if self.precision == np.int8 else 1
        return schema.OperatorCodeT(builtinCode=code, version=version,
                                    deprecatedBuiltinCode=min(code, 127))


class _IntegerNodes(_Nodes):
    """As `_Nodes`, with int8 features and weights, and int32 biases."""

    precision = np.int8

    def __init__(self, made, size):
        super().__init__(made.graph, size, made.steps)
        self._made = made

    def arrays(self, op):
        """Weights and bias, each with a scale for each output."""
        order = self._order(self._index)
        kernel = self._made.weights(op)[order].transpose(0, 2, 3, 1)
        weights = self.constant(kernel, self._made.weight_scales[op.weight][order])
        bias = self.constant(self._made.bias(self._index)[order],
                             self._made.bias_scales(self._index)[order])
        return [weights, bias]

    def slopes(self, slopes):
        """Slopes as int8, with one scale."""
        scale = np.float32(max(np.abs(slopes).max(), 1e-8) / 127)
        return self.constant(np.rint(slopes / scale).astype(np.int8), scale)


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns all vectors as the schema asks for those of data."""

    def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803 - flatbuffers' names
        """As flatbuffers', with at least 16 bytes of alignment."""
        return super().StartVector(elemSize, numElems, max(alignment, ALIGNMENT))


def _depth_order(width, scale):
    """Channels (c, i, j) in the order (i, j, c)."""
    return np.arange(width).reshape(-1, scale, scale).transpose(1, 2, 0).ravel()


def _plain(code, options=None):
    """The emitter of an operation that is one operator."""
    return lambda nodes, op, given: nodes.add(code, given, options=options and options(op))


# Operation -> the tensor of its output, of the nodes, the operation and the tensors of its inputs.
_EMITTERS = {
    ops.Conv: _Nodes.convolution,
    ops.PReLU: _Nodes.prelu,
    ops.ReLU: _plain(Operator.RELU),
    ops.LeakyReLU: _plain(Operator.LEAKY_RELU, lambda op: schema.LeakyReluOptionsT(alpha=op.slope)),
    ops.Tanh: _plain(Operator.TANH),
    ops.Sigmoid: _plain(Operator.LOGISTIC),
    ops.GELU: _plain(Operator.GELU, lambda op: schema.GeluOptionsT(approximate=False)),
    ops.Add: _plain(Operator.ADD, lambda op: schema.AddOptionsT()),
    ops.ChannelScale: _plain(Operator.MUL, lambda op: schema.MulOptionsT()),
    ops.PixelShuffle: _Nodes.shuffle,
    ops.GlobalPool: _Nodes.pool,
}
