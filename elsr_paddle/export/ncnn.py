"""Write networks for ncnn, as its apps and Upscayl load them, and run them there.

Those apps hand over RGB. A network on luma is therefore written with its colours around it: it
enlarges luma, bicubic what the colours differ from it.

Source: ncnn's param and model file format; blob names as in realesrgan-ncnn-vulkan.
"""

from __future__ import annotations

import struct

import numpy as np

from elsr_paddle.errors import needs
from elsr_paddle.export.format import Format, as_channels, write_bytes
from elsr_paddle.files import atomic_write
from elsr_paddle.imaging.luma import BT601
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Draft
from elsr_paddle.networks.rewrites import folded

MAGIC = "7767517"
INPUT, OUTPUT = "data", "output"
FOLDER = "models"  # the name that Upscayl expects of a folder of custom models
_FLOAT32 = struct.pack("<I", 0)  # before weights: they are stored as they are
_SUM, _PRODUCT = 0, 2  # of BinaryOp
_REPLICATE = 1  # of Padding


class NCNN(Format):
    """A text of layers (.param) and their float32 weights (.bin); RGB in [0, 1]."""

    name = "ncnn"
    help = "Upscayl, realesrgan-ncnn-vulkan and apps with ncnn"
    suffix = ".param"
    runtime = "ncnn"

    def write(self, trained, folder, options):
        """Two files in a folder `models`; blobs `data` and `output`."""
        layers = _Layers(folded(in_colour(trained.graph)))
        text, weights = layers.text(), layers.weights()
        param = self.path(trained, folder / FOLDER)
        binary = write_bytes(param.with_suffix(".bin"), weights)
        with atomic_write(param) as temporary:
            temporary.write_text(text, encoding="ascii")
        return [param, binary]

    def run(self, files, image):
        """In ncnn, on the CPU, in float32; luma is handed over as gray."""
        ncnn = needs("ncnn", "export")
        picture = as_channels(image)
        planes = np.broadcast_to(np.moveaxis(picture, 2, 0), (3, *picture.shape[:2]))
        planes = np.ascontiguousarray(np.float32(planes) / 255)  # a Mat only refers to it
        net = ncnn.Net()
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(net.opt, option, False)
        net.load_param(str(files[0]))
        net.load_model(str(files[1]))
        extractor = net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(planes))
        _, result = extractor.extract(OUTPUT)
        levels = 255 * np.moveaxis(np.array(result), 0, 2)
        return levels if image.ndim == 3 else levels[:, :, 0]


def in_colour(graph):
    """The network on RGB: of one on luma, with bicubic for the colours.

    red' = luma' + bicubic(red - luma), and so on, as `luma.upscale_by_luma` does, without rounding.
    """
    if graph.channels == 3:
        return graph
    draft = Draft(graph)
    picture = draft.add(ops.Input(3))
    luma = draft.convolve(picture, BT601.reshape(1, 3, 1, 1), np.zeros(1))
    places = [luma]
    for node in graph.nodes[1:]:
        places.append(draft.add(node.op, *(places[source] for source in node.sources)))
    gray = draft.convolve(places[-1], np.ones((3, 1, 1, 1)), np.zeros(3))
    colour = draft.convolve(picture, (np.eye(3) - BT601).reshape(3, 3, 1, 1), np.zeros(3))
    draft.add(ops.Add(), gray, draft.add(ops.Bicubic(graph.scale), colour))
    return draft.graph()


class _Layers:
    """The layers of a model and their weights."""

    def __init__(self, graph):
        self._graph, self._lines, self._weights, self._blobs = graph, [], [], 0
        self._copies = {}  # node -> the names of its output still to be read
        for index, node in enumerate(graph.nodes):
            self._append(index, node)

    def text(self):
        """The .param file."""
        return "\n".join([MAGIC, f"{len(self._lines)} {self._blobs}", *self._lines, ""])

    def weights(self):
        """The .bin file."""
        return b"".join(self._weights)

    def add(self, kind, inputs, parameters=None, outputs=None):
        """Append a layer; the names of its outputs, or its only one."""
        outputs = outputs or [f"blob_{self._blobs}"]
        self._blobs += len(outputs)
        numbers = " ".join(f"{key}={value}" for key, value in (parameters or {}).items())
        line = [kind, f"layer_{len(self._lines)}", len(inputs), len(outputs), *inputs, *outputs]
        self._lines.append(" ".join([*map(str, line), numbers]).strip())
        return outputs[0]

    def _append(self, index, node):
        """A node; where several read it, its output is split, as ncnn asks for."""
        last = index == len(self._graph.nodes) - 1
        given = [self._copies[source].pop() for source in node.sources]
        if index == 0:
            name = self.add("Input", [], outputs=[INPUT])
        elif type(node.op) in _EMITTERS:
            name = _EMITTERS[type(node.op)](self, node.op, given)
        else:
            raise ops.Unsupported(f"ncnn has no {node.op.title}")
        if last:  # a layer may have any name for its output but that of another
            self._lines[-1] = self._lines[-1].replace(f" {name}", f" {OUTPUT}", 1)
        readers = sum(other.sources.count(index) for other in self._graph.nodes)
        self._copies[index] = [name]
        if readers > 1:
            self._copies[index] = [f"{name}_{copy}" for copy in range(readers)]
            self.add("Split", [name], outputs=self._copies[index])

    def convolution(self, op, given):
        """A convolution with its padding."""
        pad = op.reach
        if op.padding == "edge":
            border = dict.fromkeys(range(4), op.reach)
            given, pad = [self.add("Padding", given, {**border, 4: _REPLICATE})], 0
        kernel, bias = (self._graph.arrays[name] for name in op.parameters())
        self._weights += [_FLOAT32, kernel.astype("<f4").tobytes(), bias.astype("<f4").tobytes()]
        return self.add("Convolution", given,
                        {0: op.outputs, 1: op.kernel, 4: pad, 5: 1, 6: kernel.size})

    def prelu(self, op, given):
        """A PReLU with a slope for each channel."""
        self._weights.append(op.slopes(self._graph.arrays).astype("<f4").tobytes())
        return self.add("PReLU", given, {0: op.size})


# Operation -> the name of its output, of the layers, the operation and the names of its inputs.
_EMITTERS = {
    ops.Conv: _Layers.convolution,
    ops.PReLU: _Layers.prelu,
    ops.ReLU: lambda layers, op, given: layers.add("ReLU", given),
    ops.LeakyReLU: lambda layers, op, given: layers.add("ReLU", given, {0: op.slope}),
    ops.Tanh: lambda layers, op, given: layers.add("TanH", given),
    ops.Sigmoid: lambda layers, op, given: layers.add("Sigmoid", given),
    ops.GELU: lambda layers, op, given: layers.add("GELU", given, {0: 0}),
    ops.Add: lambda layers, op, given: layers.add("BinaryOp", given, {0: _SUM}),
    ops.PixelShuffle: lambda layers, op, given: layers.add("PixelShuffle", given, {0: op.scale}),
    ops.GlobalPool: lambda layers, op, given: layers.add("Pooling", given, {0: 1, 4: 1}),
    ops.ChannelScale: lambda layers, op, given: layers.add("BinaryOp", given, {0: _PRODUCT}),
}
