"""Make the Paddle layer that is trained from a network's operations, and move arrays in and out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.imaging.io import image_to_tensor, tensor_to_image
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import check_fit
from elsr_paddle.networks.linear_block import BLOCKS, LinearBlock, convolution
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.prelu import PReLU
from elsr_paddle.networks.weights import Trained

F = paddle.nn.functional
FAINT = 0.3  # of He's standard deviation: what an untrained network adds to the repeated pixels
# The same of the last convolution where the enlarged picture is added to its output. With more, the
# first gradients are so large that Adam's second moments hold back the next thousand steps.
FAINTEST = 0.01


class PaddleNetwork(paddle.nn.Layer):
    """A network as a Paddle layer, with fresh weights that repeat pixels.

    Takes float32 (N, channels, H, W) in [0, 1]; gives (N, channels, scale*H, scale*W), not clipped.

    Parameters
    ----------
    network : Network
    expansion : int, channels inside the linear blocks that stand for the convolutions while
        training; 0 for plain convolutions.
    block : str, of `linear_block.BLOCKS`
    scales : tuple of int, more scales that the layer is to take pictures for; see `forward`.

    Attributes
    ----------
    network : Network
    graphs : dict, scale -> Graph

    Raises
    ------
    InputError if the network has other parameters at one of the scales.
    """

    def __init__(self, network: Network, expansion: int = 0, block: str = BLOCKS[0],
                 scales: Iterable[int] = ()):
        super().__init__()
        self.network, self._graph = network, network.graph
        self.graphs = {self._graph.scale: self._graph, **_graphs_of_one_body(network, scales)}
        live = {graph.nodes[index].op.name for graph in self.graphs.values()
                for index in graph.live if graph.nodes[index].op.parameters()}
        self._layers_of = {}  # operation's name -> sublayer
        for node in self._graph.nodes:
            if node.op.parameters():
                layer = _LAYERS[type(node.op)](node.op, expansion, block)
                self._layers_of[node.op.name] = self.add_sublayer(node.op.name, layer)
                if node.op.name not in live:  # of another scale: it has no gradient
                    for parameter in layer.parameters():
                        parameter.stop_gradient = True
        start_as_nearest_neighbour(self)

    @property
    def channels(self) -> int:
        """Of its pictures: 3 for RGB, 1 for luma."""
        return self.network.channels

    def forward(self, lr, scale=None):
        """float32 (N, C, H, W) -> (N, C, s*H, s*W); `scale` None is the network's own."""
        graph, values = self.graphs[scale or self._graph.scale], [lr]
        for index, node in enumerate(graph.nodes[1:], start=1):
            given = [values[source] for source in node.sources]
            if index not in graph.live:
                values.append(None)
            elif node.op.parameters():
                values.append(self._layers_of[node.op.name](*given))
            else:
                values.append(FUNCTIONS[type(node.op)](node.op, *given))
        return values[-1]

    def plain(self):
        """(name, tensor) of the plain network's parameters, linear blocks collapsed."""
        for node in self._graph.nodes:
            if node.op.parameters():
                layer = self._layers_of[node.op.name]
                yield from zip(node.op.parameters(), _tensors(node.op, layer))

    def assign(self, arrays: dict) -> None:
        """Set the plain network's parameters, all of which have to be there."""
        for node in self._graph.nodes:
            given = [arrays[name] for name in node.op.parameters()]
            layer = self._layers_of[node.op.name] if given else None
            if isinstance(layer, LinearBlock):
                layer.start_from(*given)
            elif given:
                for tensor, array in zip(_tensors(node.op, layer), given):
                    tensor.set_value(array)


def _graphs_of_one_body(network, scales):
    """Scale -> graph, if all have the same parameters."""
    graphs = {scale: replace(network, scale=scale).graph for scale in scales}
    if any(graph.parameters() != network.graph.parameters() for graph in graphs.values()):
        raise InputError(f"expected a network with one body for the scales "
                         f"{', '.join(map(str, graphs))}, such as mdsr, but got {network.name}, "
                         "whose weights are those of one scale")
    return graphs


# Operation with parameters -> its layer.
_LAYERS = {
    ops.Conv: lambda op, expansion, block: convolution(op.inputs, op.outputs, op.kernel, expansion,
                                                       op.learning_rate, block),
    ops.TransposedConv: lambda op, *_: paddle.nn.Conv2DTranspose(
        op.inputs, op.outputs, op.kernel, op.scale, op.kernel // 2, op.scale - 1,
        weight_attr=paddle.ParamAttr(learning_rate=op.learning_rate),
        bias_attr=paddle.ParamAttr(learning_rate=op.learning_rate)),
    ops.PReLU: lambda op, *_: PReLU(1 if op.shared else op.size),
    ops.BatchNorm: lambda op, *_: paddle.nn.BatchNorm2D(op.size, epsilon=op.epsilon),
}

# Operation without parameters -> a function of it and its inputs.
FUNCTIONS = {
    ops.ReLU: lambda op, x: F.relu(x),
    ops.LeakyReLU: lambda op, x: F.leaky_relu(x, op.slope),
    ops.Tanh: lambda op, x: paddle.tanh(x),
    ops.Sigmoid: lambda op, x: F.sigmoid(x),
    ops.GELU: lambda op, x: F.gelu(x),
    ops.Add: lambda op, x, y: x + y,
    ops.Scale: lambda op, x: x * op.factor,
    ops.Shift: lambda op, x: x + paddle.to_tensor(op.amounts, x.dtype).reshape([-1, 1, 1]),
    ops.Repeat: lambda op, x: x.repeat_interleave(op.copies, axis=1),
    ops.Bicubic: lambda op, x: _bicubic(op, x),
    ops.PixelShuffle: lambda op, x: F.pixel_shuffle(x, op.scale),
    ops.GlobalPool: lambda op, x: x.mean([2, 3], keepdim=True),
    ops.ChannelScale: lambda op, x, factors: x * factors,
}


def _bicubic(op, features):
    """Each channel by itself, the border repeated."""
    batch, channels, height, width = features.shape
    taps = paddle.to_tensor(op.taps()[:, None].astype(np.float32))  # (s * s, 1, 5, 5)
    planes = F.pad(features.reshape([batch * channels, 1, height, width]), [2] * 4, "replicate")
    enlarged = F.pixel_shuffle(F.conv2d(planes, taps), op.scale)
    return enlarged.reshape([batch, channels, op.scale * height, op.scale * width])


def _tensors(op, layer):
    """The tensors of a layer in the order of its operation's parameters."""
    if isinstance(op, ops.PReLU):
        return (layer._weight,)
    if isinstance(op, ops.BatchNorm):
        return layer.weight, layer.bias, layer._mean, layer._variance
    return layer.weight, layer.bias


def to_arrays(model: PaddleNetwork) -> dict[str, np.ndarray]:
    """The plain network's parameters: name -> float32 array, linear blocks collapsed."""
    return {name: tensor.numpy() for name, tensor in model.plain()}


def load_arrays(model: PaddleNetwork, arrays: dict) -> None:
    """Copy every array into the model; linear blocks continue from the given kernel.

    Raises
    ------
    InputError naming each parameter that is missing, unknown or of another shape; the model is
    then unchanged. (Paddle's `set_state_dict` would only warn.)
    """
    check_fit(model.network.graph.parameters(), arrays)
    model.assign(arrays)


def load_model(trained: Trained) -> PaddleNetwork:
    """A trained network as a Paddle layer in evaluation mode."""
    model = PaddleNetwork(trained.network)
    model.assign(trained.graph.arrays)
    model.eval()
    return model


def enlarge(model: PaddleNetwork, image: np.ndarray) -> np.ndarray:
    """A network's output for one image, in float32 up to the end, then clipped and rounded.

    Parameters
    ----------
    model : PaddleNetwork with C channels
    image : uint8 array, shape (H, W, C)

    Returns
    -------
    uint8 array, shape (s*H, s*W, C)
    """
    with paddle.no_grad():
        return tensor_to_image(model(paddle.to_tensor(image_to_tensor(image))).numpy())


def warm_start(model: PaddleNetwork, arrays: dict) -> list[str]:
    """Start a model from weights of its own or another scale.

    Everything is copied but a tail of another scale: there each sub-pixel starts as the nearest
    sub-pixel of the given tail. Where a tail enlarges in steps, `tail.0`, `tail.1`, a step that the
    given weights lack stays as initialised, and one that the model lacks is left out.

    Returns
    -------
    list of str: the parameters that could not be copied.

    Raises
    ------
    InputError if anything but the tail does not fit.
    """
    own, factors = to_arrays(model), _factors_behind(model.network.graph)
    spread = {
        name: _spread(arrays[name], array.shape[0] // factors[name] ** 2, factors[name])
        for name, array in own.items()
        if name.startswith("tail.") and name in arrays and arrays[name].shape != array.shape
    }
    missing = {name: array for name, array in own.items()
               if name not in arrays and _STEP.match(name)}
    fitting = {name: array for name, array in arrays.items()
               if name in own or not _STEP.match(name)}
    load_arrays(model, {**fitting, **missing, **spread})
    return sorted([*spread, *missing])


_STEP = re.compile(r"tail\.\d+\.")  # of a tail that enlarges in steps


def _factors_behind(graph):
    """Name of a parameter -> scale of the next pixel shuffle behind it; 1 where there is none."""
    factors, factor = {}, 1
    for node in reversed(graph.nodes):
        factor = node.op.scale if isinstance(node.op, ops.PixelShuffle) else factor
        factors |= dict.fromkeys(node.op.parameters(), factor)
    return factors


def _spread(array, colours, scale):
    """A tail's kernel or bias (colours * s * s, ...) of another scale s, brought to `scale`."""
    given = math.isqrt(array.shape[0] // colours)
    if array.shape[0] != colours * given**2:
        return array  # no tail at all: left for `load_arrays` to refuse
    nearest = np.arange(scale) * given // scale
    grid = array.reshape(colours, given, given, *array.shape[1:])
    return grid[:, nearest][:, :, nearest].reshape(-1, *array.shape[1:])


def start_as_nearest_neighbour(model: PaddleNetwork) -> None:
    """Let an untrained network repeat pixels: colours are passed on, all else is faint.

    From there it learns in hundreds of steps what takes thousands from random weights. The colours
    pass along the way from input to output that has the fewest convolutions. Where that is none,
    since the enlarged picture is added at the end, only the last convolution is faint.
    """
    graph, arrays = model.network.graph, to_arrays(model)
    ways = [_shortest_way(of_scale) for of_scale in model.graphs.values()]
    kernels = [name for name, array in arrays.items() if array.ndim == 4]
    for name in kernels if ways[0] else kernels[-1:]:
        arrays[name] *= FAINT if ways[0] else FAINTEST
    for op, factor in {op.name: (op, factor) for way in ways for op, factor in way}.values():
        if isinstance(op, ops.TransposedConv):
            _pass_on_enlarged(arrays[op.weight], graph.channels, op.scale)
        else:
            _pass_on(arrays[op.weight], graph.channels, factor)
    load_arrays(model, arrays)


def _shortest_way(graph):
    """(convolution, s * s if it makes the channels of a shuffle to xs, else 1) on the way with the
    fewest convolutions, in order."""
    ways = [[]]  # to each node
    for node in graph.nodes[1:]:
        way = min((ways[source] for source in node.sources), key=len)
        if isinstance(node.op, (ops.Conv, ops.TransposedConv)):
            way = [*way, (node.op, 1)]
        elif isinstance(node.op, ops.PixelShuffle) and way:
            way = [*way[:-1], (way[-1][0], way[-1][1] * node.op.scale**2)]
        ways.append(way)
    return ways[-1]


def _pass_on(kernel, colours, copies):
    """Add ones to the middle tap: each of the first channels to `copies` channels in a row."""
    middle = kernel[:, :, kernel.shape[2] // 2, kernel.shape[3] // 2]  # (out, in)
    for colour in range(min(colours, *middle.shape)):
        middle[colour * copies : (colour + 1) * copies, colour] += 1


def _pass_on_enlarged(kernel, colours, scale):
    """Add ones to the taps (in, out, k, k) that make the square of pixels of an LR pixel."""
    middle = kernel.shape[2] // 2
    square = slice(middle, middle + scale)
    for colour in range(min(colours, *kernel.shape[:2])):
        kernel[colour, colour, square, square] += 1
