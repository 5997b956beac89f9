"""A trained network as data: a short list of layers that every engine is generated from.

No framework here: the layers hold numpy arrays, and `evaluate` is the reference that the engines
are compared with. A new network needs a builder in `GRAPHS` and no new kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from elsr_paddle.errors import InputError

INPUT = -1  # as a source: the picture itself


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution with zero padding that keeps height and width."""

    source: int  # which layer it reads: an index into Graph.layers, or INPUT
    kernel: np.ndarray  # float32 (out, in, kh, kw), odd sides
    bias: np.ndarray  # float32 (out,)


@dataclass(frozen=True, eq=False)
class PReLU:
    """x where x > 0, slope * x elsewhere."""

    source: int
    slopes: np.ndarray  # float32 (channels,)


@dataclass(frozen=True)
class Add:
    """The sum of two layers of equal shape: a skip."""

    source: int
    other: int


@dataclass(frozen=True)
class PixelShuffle:
    """(C*s*s, H, W) -> (C, s*H, s*W): channel c*s*s + i*s + j to row i, column j. Comes last."""

    source: int
    scale: int


@dataclass(frozen=True)
class Planes420:
    """Rows of 4:2:0 video instead of RGB; comes last. The channels before it, in this order:

    s rows of s values of Y, the square that an LR pixel becomes; then s/2 rows of s/2 values of Cb
    and s/2 of Cr.
    """

    source: int
    scale: int


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: `layers` in an order where each reads only earlier ones.

    Attributes
    ----------
    layers : tuple of Conv, PReLU, Add and, at the end, one PixelShuffle (or Planes420)
    channels : int, of the picture: 3 for RGB, 1 for luma
    """

    layers: tuple
    channels: int

    @property
    def scale(self):
        """int, how many times larger the output is."""
        return self.layers[-1].scale

    @property
    def rows(self):
        """int, output rows that a row of the picture becomes."""
        return self.scale * 3 // 2 if isinstance(self.layers[-1], Planes420) else self.scale

    @property
    def row_values(self):
        """int, values that a pixel of the picture contributes to each of them."""
        return self.scale * (1 if isinstance(self.layers[-1], Planes420) else self.channels)

    @property
    def multiply_adds(self):
        """int, multiply-adds for one pixel of the picture; those of the kernels alone count."""
        return sum(layer.kernel.size for layer in self.layers if isinstance(layer, Conv))

    @property
    def radius(self):
        """int, LR pixels around a pixel that its output depends on: the halo of a tile."""
        return self.leads()[INPUT]

    def leads(self):
        """How many rows below an output row each layer must be known, as {layer index: rows}."""
        leads = {len(self.layers) - 1: 0, INPUT: 0}
        for index in reversed(range(len(self.layers))):
            for source in self.sources(index):
                lead = leads[index] + self.reach(index)
                leads[source] = max(leads.get(source, 0), lead)
        return leads

    def sources(self, index):
        """Indices of the layers that layer `index` reads."""
        layer = self.layers[index]
        return (layer.source, layer.other) if isinstance(layer, Add) else (layer.source,)

    def readers(self, index):
        """Indices of the layers that read layer `index`."""
        return [i for i in range(len(self.layers)) if index in self.sources(i)]

    def reach(self, index):
        """Radius of layer `index` alone, in pixels: 1 for a 3x3 convolution, 0 for others."""
        layer = self.layers[index]
        return max(layer.kernel.shape[2:]) // 2 if isinstance(layer, Conv) else 0

    def width(self, index):
        """Channels of layer `index`, or of the picture for INPUT."""
        if index == INPUT:
            return self.channels
        layer = self.layers[index]
        if isinstance(layer, Conv):
            return layer.kernel.shape[0]
        inner = self.width(layer.source)
        return inner // layer.scale**2 if isinstance(layer, PixelShuffle) else inner

    def on_levels(self):
        """The same network on 0..255 instead of 0..1.

        Convolution without bias, PReLU, addition and shuffling commute with a positive factor, so
        only the biases change; no engine has to divide pixels by 255 and multiply them back.
        """
        layers = tuple(
            replace(layer, bias=layer.bias * np.float32(255)) if isinstance(layer, Conv) else layer
            for layer in self.layers
        )
        return replace(self, layers=layers)

    def interleaved(self):
        """The same network with the channels before the pixel shuffle in (i, j, c) order.

        The s*s*C values of an LR pixel then lie in the order of the bytes of the output's rows.
        The reordering goes through additions and PReLUs into the convolutions' weights.

        Raises
        ------
        InputError if a layer whose channels would move is read by another one, too.
        """
        layers = list(self.layers)
        moved = [layers[-1].source]
        while moved:
            index = moved.pop()
            if index == INPUT or len(self.readers(index)) > 1:
                raise InputError("expected the layers before the pixel shuffle to have one reader")
            layers[index] = _reordered(layers[index], self._byte_order())
            if not isinstance(layers[index], Conv):
                moved.extend(self.sources(index))
        return replace(self, layers=tuple(layers))

    def raised(self, amount):
        """The same network with `amount` added to its output, at no cost: in a bias.

        Raises
        ------
        InputError if neither a convolution nor an addition of one comes before the pixel shuffle.
        """
        index = self.layers[-1].source
        while isinstance(self.layers[index], Add):
            index = next((i for i in self.sources(index) if self.readers(i) == [index]), INPUT)
        layer = self.layers[index]
        if not isinstance(layer, Conv):
            raise InputError("expected a convolution or an addition before the pixel shuffle")
        layers = list(self.layers)
        layers[index] = replace(layer, bias=layer.bias + np.float32(amount))
        return replace(self, layers=tuple(layers))

    def yuv420(self, matrix, left):
        """The same network with 4:2:0 planes as output, at half the cost of the last convolution.

        Conversion and the mean of four pixels are linear, as the last convolution is, so they go
        into its weights. What RGB would clip is kept, as YUV has room for it.

        Parameters
        ----------
        matrix : float array (3, 4), (R, G, B, 1) -> (Y, Cb, Cr), in the unit of the network's own
            levels, see `on_levels`
        left : bool; a chroma sample lies at the left pixels of its 2x2 and is their mean (the
            enlarged colour is smooth enough to be sampled), or in the middle, and of all four.

        Returns
        -------
        Graph, or None if the scale is odd or the network not one on RGB that ends in a convolution
        """
        last = self.layers[-1].source
        tail, scale = self.layers[last], self.scale
        if self.channels != 3 or scale % 2 or not isinstance(tail, Conv):
            return None
        # The bias as one more weight: (3, s, s, weights)
        values = np.concatenate([tail.kernel.reshape(len(tail.bias), -1), tail.bias[:, None]], 1)
        planes = np.tensordot(matrix[:, :3], values.reshape(3, scale, scale, -1), 1)
        planes[..., -1] += matrix[:, 3, None, None]
        rows = (planes[1:, 0::2] + planes[1:, 1::2]) / 2
        chroma = rows[:, :, 0::2] if left else (rows[:, :, 0::2] + rows[:, :, 1::2]) / 2
        chroma = chroma.transpose(1, 0, 2, 3)  # (s/2 rows, Cb and Cr, s/2, weights)
        values = np.concatenate([planes[0].reshape(scale**2, -1),
                                 chroma.reshape(scale**2 // 2, -1)]).astype(np.float32)
        layers = list(self.layers)
        layers[last] = replace(tail, kernel=values[:, :-1].reshape(-1, *tail.kernel.shape[1:]),
                               bias=values[:, -1])
        layers[-1] = Planes420(last, scale)
        return replace(self, layers=tuple(layers))

    def _byte_order(self):
        """Which channel (c, i, j) stands at each place of the order (i, j, c)."""
        places = np.arange(self.channels * self.scale**2)
        return places.reshape(self.channels, self.scale, self.scale).transpose(1, 2, 0).ravel()

    def shape_key(self):
        """Everything but the weights, as a string: graphs with equal keys can share a kernel."""
        return "; ".join([f"input {self.channels}", *map(_describe, self.layers)])


def _describe(layer):
    if isinstance(layer, Conv):
        return f"conv {layer.source} {layer.kernel.shape}"
    if isinstance(layer, PReLU):
        return f"prelu {layer.source} {layer.slopes.shape}"
    return repr(layer)


def _reordered(layer, order):
    if isinstance(layer, Conv):
        return replace(layer, kernel=layer.kernel[order], bias=layer.bias[order])
    if isinstance(layer, PReLU):
        return replace(layer, slopes=layer.slopes[order])
    return layer


def build_graph(weights, metadata):
    """The graph of a trained network.

    Parameters
    ----------
    weights : dict of str to float array, a network's state by name
    metadata : dict, as `checkpoint.load_weights` returns it

    Returns
    -------
    Graph

    Raises
    ------
    InputError for a network without a builder, missing weights, or shapes that do not fit.
    """
    name = metadata["model"]
    if name not in GRAPHS:
        raise InputError(f"expected a network of {', '.join(GRAPHS)} but got {name!r}")
    try:
        layers = GRAPHS[name](weights, metadata["config"])
    except KeyError as error:
        raise InputError(f"expected the weights of {name} but {error} is missing") from None
    except TypeError as error:
        raise InputError(f"no {name} has the configuration {metadata['config']}: {error}") from None
    first = next(layer for layer in layers if isinstance(layer, Conv))
    graph = Graph(layers, channels=first.kernel.shape[1])
    _check(graph)
    return graph


def _elsr(weights, config):
    return (
        _conv(weights, "head", INPUT),
        _conv(weights, "body.0", 0),
        _prelu(weights, "body.1", 1, channels=len(weights["body.0.bias"])),
        _conv(weights, "body.2", 2),
        Add(3, 0),
        _conv(weights, "tail", 4),
        PixelShuffle(5, config["scale"]),
    )


def _elsr_y(weights, config):
    layers = [_conv(weights, "head.0", INPUT), _prelu(weights, "head.1", 0, config["width"])]
    for index in range(config["depth"]):
        if index > 0:
            name = f"body.{2 * index - 1}"
            layers.append(_prelu(weights, name, len(layers) - 1, config["width"]))
        layers.append(_conv(weights, f"body.{2 * index}", len(layers) - 1))
    if config["skip"]:
        layers.append(Add(len(layers) - 1, 1))
    layers.append(_prelu(weights, "activation", len(layers) - 1, config["width"]))
    layers.append(_conv(weights, "tail", len(layers) - 1))
    return (*layers, PixelShuffle(len(layers) - 1, config["scale"]))


GRAPHS = {"elsr": _elsr, "elsr-y": _elsr_y}


def _conv(weights, name, source):
    kernel = np.asarray(weights[f"{name}.weight"], np.float32)
    bias = np.asarray(weights[f"{name}.bias"], np.float32)
    is_kernel = kernel.ndim == 4 and all(side % 2 for side in kernel.shape[2:])
    if not is_kernel or bias.shape != kernel.shape[:1]:
        raise InputError(
            f"expected {name} to be a kernel (out, in, odd, odd) and a bias (out,) "
            f"but got {kernel.shape} and {bias.shape}"
        )
    return Conv(source, kernel, bias)


def _prelu(weights, name, source, channels):
    """A PReLU; one slope shared by all channels is written out for each of them."""
    slopes = np.asarray(weights[f"{name}.weight"], np.float32)
    if slopes.shape not in ((1,), (channels,)):
        raise InputError(f"expected 1 or {channels} slopes in {name} but got {slopes.shape}")
    return PReLU(source, np.broadcast_to(slopes, channels))


def _check(graph):
    """Refuse weights whose shapes do not fit each other, before an engine trips over them."""
    if not (isinstance(graph.scale, int) and graph.scale >= 1):
        raise InputError(f"expected a scale of at least 1 but got {graph.scale!r}")
    for index, layer in enumerate(graph.layers):
        width = graph.width(layer.source)
        if isinstance(layer, Conv) and layer.kernel.shape[1] != width:
            raise InputError(f"expected kernels on {width} channels but got {layer.kernel.shape}")
        if isinstance(layer, Add) and graph.width(layer.other) != width:
            raise InputError(f"layer {index} adds {width} to {graph.width(layer.other)} channels")
    if graph.width(graph.layers[-1].source) != graph.channels * graph.scale**2:
        raise InputError(
            f"expected {graph.channels * graph.scale**2} channels before the pixel shuffle to "
            f"x{graph.scale} but got {graph.width(graph.layers[-1].source)}"
        )


def evaluate(graph, image):
    """The network in float64, by the book: the reference for every engine.

    Parameters
    ----------
    graph : Graph
    image : uint8 array, shape (H, W, channels)

    Returns
    -------
    float64 array, shape (scale*H, scale*W, channels), nominally in [0, 255], neither clipped nor
    rounded.
    """
    return layer_outputs(graph, image)[len(graph.layers) - 1].transpose(1, 2, 0) * 255


def layer_outputs(graph, image):
    """What every layer of the network holds for a picture, in float64.

    Parameters
    ----------
    graph : Graph
    image : uint8 array, shape (H, W, channels)

    Returns
    -------
    dict, index of the layer or INPUT -> float64 array (C, H, W); the picture's own range is [0, 1].
    """
    outputs = {INPUT: image.astype(np.float64).transpose(2, 0, 1) / 255}  # (H, W, C) -> (C, H, W)
    for index, layer in enumerate(graph.layers):
        outputs[index] = _apply(layer, outputs)
    return outputs


def _apply(layer, outputs):
    features = outputs[layer.source]
    if isinstance(layer, Conv):
        return _convolve(features, layer)
    if isinstance(layer, PReLU):
        return np.where(features > 0, features, features * layer.slopes[:, None, None])
    if isinstance(layer, Add):
        return features + outputs[layer.other]
    channels, height, width = features.shape
    scale = layer.scale
    blocks = features.reshape(channels // scale**2, scale, scale, height, width)
    return blocks.transpose(0, 3, 1, 4, 2).reshape(-1, scale * height, scale * width)


def _convolve(features, layer):
    height, width = features.shape[1:]
    rows, columns = layer.kernel.shape[2:]
    padded = np.pad(features, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)))
    total = np.zeros((len(layer.bias), height, width)) + layer.bias[:, None, None]
    for y in range(rows):
        for x in range(columns):
            shifted = padded[:, y : y + height, x : x + width]
            total += np.tensordot(layer.kernel[:, :, y, x].astype(np.float64), shifted, axes=1)
    return total
