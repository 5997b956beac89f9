"""Define the operations that networks consist of, each with its reference in numpy.

An operation is a small frozen dataclass. It states its parameters, its shape, how far it reaches,
and what it computes; engines, exports and the layer that is trained are tables from operation to
code. Features are arrays (C, H, W).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from elsr_paddle.errors import InputError


class Unsupported(InputError):
    """An engine or a format lacks an operation; the message names it."""


@dataclass(frozen=True)
class Operation:
    """What all operations share; this one hands its input on.

    A subclass without fields is no dataclass of its own: it compares and prints by this one's
    methods, and each `dataclass` costs half a millisecond of every start.

    Attributes
    ----------
    homogeneous : bool, whether f(a * x) = a * f(x) for each a > 0, biases aside
    title : str, in words
    """

    homogeneous: ClassVar[bool] = True
    title: ClassVar[str] = "operation"

    def parameters(self) -> dict[str, tuple]:
        """Name -> shape of every parameter."""
        return {}

    def channels(self, *inputs: int) -> int:
        """Channels of the output for those of the inputs; InputError where they do not fit."""
        return inputs[0]

    @property
    def reach(self) -> int:
        """Pixels, at its own resolution, that an output looks to each side."""
        return 0

    @property
    def enlarges(self) -> int:
        """How many times higher and wider the output is."""
        return 1

    @property
    def multiply_adds(self) -> int:
        """For one pixel of its input; those of convolutions alone count, as in the papers."""
        return 0

    def apply(self, arrays: dict, *features: np.ndarray) -> np.ndarray:
        """The output for inputs (C, H, W), in their own precision; `arrays` by parameter name."""
        raise NotImplementedError

    def describe(self) -> str:
        """The operation in words, such as `conv 3x3, 6 to 48`."""
        return self.title


@dataclass(frozen=True)
class Input(Operation):
    """The picture: 3 channels of RGB or 1 of luma, range [0, 1]."""

    size: int  # channels
    title: ClassVar[str] = "input"

    def channels(self, *inputs):
        return self.size


class Convolution(Operation):
    """What convolutions share: `kernel` is odd, weight and bias are named after `name`."""

    def __post_init__(self):
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"expected an odd kernel for {self.name} but got {self.kernel}")

    @property
    def weight(self):
        return f"{self.name}.weight"

    @property
    def bias(self):
        return f"{self.name}.bias"

    def channels(self, *inputs):
        if inputs[0] != self.inputs:
            raise InputError(f"expected {self.inputs} channels before {self.name} "
                             f"but got {inputs[0]}")
        return self.outputs


@dataclass(frozen=True)
class Conv(Convolution):
    """Convolution that keeps height and width."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 3  # side, odd
    learning_rate: float = 1.0  # factor on the rate of the whole network
    padding: str = "zero"  # or "edge": the border is repeated

    def parameters(self):
        return {self.weight: (self.outputs, self.inputs, self.kernel, self.kernel),
                self.bias: (self.outputs,)}

    @property
    def reach(self):
        return self.kernel // 2

    @property
    def multiply_adds(self):
        return self.inputs * self.outputs * self.kernel**2

    def apply(self, arrays, *features):
        kernel, (image,) = arrays[self.weight], features
        mode = "constant" if self.padding == "zero" else "edge"
        height, width = image.shape[1:]
        padded = np.pad(image, ((0, 0), *[(self.reach, self.reach)] * 2), mode)
        total = np.zeros((self.outputs, height, width), image.dtype)
        total += arrays[self.bias].astype(image.dtype)[:, None, None]
        for row in range(self.kernel):
            for column in range(self.kernel):
                shifted = padded[:, row : row + height, column : column + width]
                taps = kernel[:, :, row, column].astype(image.dtype)
                total += np.tensordot(taps, shifted, axes=1)
        return total

    def describe(self):
        return f"conv {self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}"


@dataclass(frozen=True)
class TransposedConv(Convolution):
    """Convolution that enlarges: each LR pixel adds its kernel to the HR pixels around its own.

    With a kernel of odd side k, padding k // 2 and s - 1 rows more at the end, an LR pixel becomes
    s * s pixels, as in FSRCNN (arXiv 1608.00367). It equals a convolution to s * s channels and a
    pixel shuffle, exactly.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int  # side, odd
    scale: int
    learning_rate: float = 1.0  # factor on the rate of the whole network
    title: ClassVar[str] = "transposed convolution"

    def parameters(self):
        return {self.weight: (self.inputs, self.outputs, self.kernel, self.kernel),
                self.bias: (self.outputs,)}

    @property
    def reach(self):
        return (self.kernel // 2 + self.scale - 1) // self.scale

    @property
    def enlarges(self):
        return self.scale

    @property
    def multiply_adds(self):
        return self.inputs * self.outputs * self.kernel**2

    def sub_pixel(self, arrays):
        """The equal convolution, which a pixel shuffle follows.

        Returns
        -------
        kernel : float array (outputs * s * s, inputs, 2 * reach + 1, 2 * reach + 1)
        bias : float array (outputs * s * s,)
        """
        given, reach, scale = arrays[self.weight], self.reach, self.scale
        side, middle = 2 * reach + 1, self.kernel // 2
        kernel = np.zeros((self.outputs, scale, scale, self.inputs, side, side), given.dtype)
        for i, j, row, column in np.ndindex(scale, scale, side, side):
            # From pixel (i, j) of an LR pixel back to the tap of the LR pixel that reaches it.
            y, x = i + middle - scale * (row - reach), j + middle - scale * (column - reach)
            if 0 <= y < self.kernel and 0 <= x < self.kernel:
                kernel[:, i, j, :, row, column] = given[:, :, y, x].T
        return (kernel.reshape(-1, self.inputs, side, side),
                np.repeat(arrays[self.bias], scale**2))

    def apply(self, arrays, *features):
        kernel, bias = self.sub_pixel(arrays)
        conv = Conv("", self.inputs, len(bias), kernel.shape[-1])
        return shuffle(conv.apply({".weight": kernel, ".bias": bias}, *features), self.scale)

    def describe(self):
        return (f"transposed conv {self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}, "
                f"x{self.scale}")


@dataclass(frozen=True)
class PReLU(Operation):
    """x where x > 0, slope * x elsewhere; one slope a channel, or one that all share."""

    name: str
    size: int  # channels
    shared: bool = False
    title: ClassVar[str] = "PReLU"

    def parameters(self):
        return {self.weight: (1 if self.shared else self.size,)}

    @property
    def weight(self):
        return f"{self.name}.weight"

    def slopes(self, arrays):
        """float array (channels,), a shared slope written out."""
        return np.broadcast_to(arrays[self.weight], (self.size,))

    def apply(self, arrays, *features):
        slopes = self.slopes(arrays).astype(features[0].dtype)[:, None, None]
        return np.where(features[0] > 0, features[0], features[0] * slopes)


class ReLU(Operation):
    """x where x > 0, 0 elsewhere."""

    title: ClassVar[str] = "ReLU"

    def apply(self, arrays, *features):
        return np.maximum(features[0], 0)


@dataclass(frozen=True)
class LeakyReLU(Operation):
    """x where x > 0, slope * x elsewhere; the slope is not trained."""

    slope: float = 0.2
    title: ClassVar[str] = "leaky ReLU"

    def apply(self, arrays, *features):
        return np.where(features[0] > 0, features[0], features[0] * self.slope)


class Tanh(Operation):
    """Hyperbolic tangent."""

    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "tanh"

    def apply(self, arrays, *features):
        return np.tanh(features[0])


class Sigmoid(Operation):
    """1 / (1 + exp(-x))."""

    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "sigmoid"

    def apply(self, arrays, *features):
        return 1 / (1 + np.exp(-features[0]))


class GELU(Operation):
    """x times the normal distribution's share below x, by the error function."""

    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "GELU"

    def apply(self, arrays, *features):
        share = np.vectorize(math.erf, otypes=[float])(features[0] / math.sqrt(2))
        return features[0] * (0.5 + 0.5 * share).astype(features[0].dtype)


class Add(Operation):
    """The sum of two inputs of equal shape: a skip."""

    title: ClassVar[str] = "sum"

    def channels(self, *inputs):
        if inputs[0] != inputs[1]:
            raise InputError(f"expected equal channels to add but got {inputs[0]} and {inputs[1]}")
        return inputs[0]

    def apply(self, arrays, *features):
        return features[0] + features[1]


@dataclass(frozen=True)
class Scale(Operation):
    """Multiplication by a constant, as in residual scaling (arXiv 1707.02921)."""

    factor: float
    title: ClassVar[str] = "scaling"

    def apply(self, arrays, *features):
        return features[0] * self.factor


@dataclass(frozen=True)
class Shift(Operation):
    """Addition of a constant for each channel, as the mean of a data set."""

    amounts: tuple  # of float, one a channel, in the unit of the features
    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "mean shift"

    def apply(self, arrays, *features):
        return features[0] + np.asarray(self.amounts, features[0].dtype)[:, None, None]


@dataclass(frozen=True)
class Repeat(Operation):
    """Each channel several times in a row: with a pixel shuffle behind it, nearest neighbour."""

    copies: int
    title: ClassVar[str] = "repeated channels"

    def channels(self, *inputs):
        return inputs[0] * self.copies

    def apply(self, arrays, *features):
        return np.repeat(features[0], self.copies, axis=0)


@dataclass(frozen=True)
class BatchNorm(Operation):
    """Batch normalisation with the statistics of training (arXiv 1502.03167)."""

    name: str
    size: int  # channels
    epsilon: float = 1e-5
    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "batch norm"

    def parameters(self):
        return {f"{self.name}.{part}": (self.size,)
                for part in ("weight", "bias", "mean", "variance")}

    def affine(self, arrays):
        """(factor, shift), float64 (channels,): what it does once the statistics are fixed."""
        weight, bias, mean, variance = (
            arrays[name].astype(np.float64) for name in self.parameters())
        factor = weight / np.sqrt(variance + self.epsilon)
        return factor, bias - mean * factor

    def apply(self, arrays, *features):
        factor, shift = (values.astype(features[0].dtype)[:, None, None]
                         for values in self.affine(arrays))
        return features[0] * factor + shift


@dataclass(frozen=True)
class Bicubic(Operation):
    """Enlargement by bicubic interpolation, a = -0.5, the border repeated; nothing is trained."""

    scale: int
    title: ClassVar[str] = "bicubic"

    @property
    def reach(self):
        return 2

    @property
    def enlarges(self):
        return self.scale

    def apply(self, arrays, *features):
        return shuffle(resample(features[0], self.taps()), self.scale)

    def taps(self):
        """float64 (s * s, 5, 5): the weights of the LR pixels around for each sub-pixel."""
        places = (np.arange(self.scale) + 0.5) / self.scale - 0.5  # of sub-pixels, in LR pixels
        distances = np.abs(places[:, None] - np.arange(-2, 3))  # (s, 5)
        line = _keys(distances)
        return np.einsum("ik,jl->ijkl", line, line).reshape(-1, 5, 5)

    def describe(self):
        return f"bicubic x{self.scale}"


def _keys(x):
    """Keys' cubic convolution kernel, a = -0.5, for x >= 0."""
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


def resample(image, taps):
    """Each channel of (C, H, W) by every kernel of (n, 5, 5), border repeated: (C * n, H, W)."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), "edge")
    total = np.zeros((len(image), len(taps), height, width), image.dtype)
    for row in range(5):
        for column in range(5):
            shifted = padded[:, None, row : row + height, column : column + width]
            total += taps[:, row, column, None, None].astype(image.dtype) * shifted
    return total.reshape(-1, height, width)


@dataclass(frozen=True)
class PixelShuffle(Operation):
    """(C*s*s, H, W) -> (C, s*H, s*W): channel c*s*s + i*s + j to row i, column j."""

    scale: int

    def channels(self, *inputs):
        if inputs[0] % self.scale**2:
            raise InputError(f"expected a multiple of {self.scale**2} channels before the pixel "
                             f"shuffle to x{self.scale} but got {inputs[0]}")
        return inputs[0] // self.scale**2

    @property
    def enlarges(self):
        return self.scale

    def apply(self, arrays, *features):
        return shuffle(features[0], self.scale)

    def describe(self):
        return f"pixel shuffle x{self.scale}"


def shuffle(features, scale):
    """The pixel shuffle of an array (C*s*s, H, W)."""
    channels, height, width = features.shape
    blocks = features.reshape(channels // scale**2, scale, scale, height, width)
    return blocks.transpose(0, 3, 1, 4, 2).reshape(-1, scale * height, scale * width)


class GlobalPool(Operation):
    """The mean of each channel over the whole picture: (C, H, W) -> (C, 1, 1)."""

    title: ClassVar[str] = "global pooling"

    def apply(self, arrays, *features):
        return features[0].mean(axis=(1, 2), keepdims=True)


class ChannelScale(Operation):
    """Features (C, H, W) times one factor a channel (C, 1, 1): channel attention."""

    homogeneous: ClassVar[bool] = False
    title: ClassVar[str] = "channel scaling"

    def channels(self, *inputs):
        return Add().channels(*inputs)

    def apply(self, arrays, *features):
        return features[0] * features[1]


ACTIVATIONS = {"relu": ReLU, "leaky_relu": LeakyReLU, "tanh": Tanh, "gelu": GELU,
               "sigmoid": Sigmoid}
