"""Train a convolution as a wider linear block, for a better optimum of the same network."""

import numpy as np

from elsr_paddle.framework import paddle

nn = paddle.nn

BLOCKS = ("linear", "edge")
# Sobel's kernels along x and y, and Laplace's: (3, 3, 3).
EDGES = np.array([[[1, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
                  [[0, 1, 0], [1, -4, 1], [0, 1, 0]]], np.float32)
_EDGE_SCALE = 1e-3  # standard deviation of the factors on them at the start, as in ECBSR


class LinearBlock(nn.Layer):
    """k x k to `expansion` channels, 1x1 back, plus a parallel k x k: linear, so one convolution.

    The block is collapsed before it is applied, so a training step costs hardly more than that of
    the plain convolution; only the gradient reaches the kernel by two paths.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : int, side of the convolution, odd.
    expansion : int, channels of the wide inner layer.
    rate : float, factor on the learning rate

    Source: SESR (arXiv 2103.09404), ECBSR (ACM MM 2021).
    """

    def __init__(self, in_channels, out_channels, kernel, expansion, rate=1.0):
        super().__init__()
        he = nn.initializer.KaimingNormal(fan_in=kernel**2 * in_channels)

        def parameter(shape, initializer=None, is_bias=False):
            attributes = paddle.ParamAttr(initializer=initializer, learning_rate=rate)
            return self.create_parameter(shape, attributes, is_bias=is_bias)

        self.squeeze = parameter((out_channels, expansion), nn.initializer.XavierNormal())
        self.expand = parameter((expansion, in_channels, kernel, kernel), he)
        self.skip = parameter((out_channels, in_channels, kernel, kernel), he)
        self.bias = parameter((out_channels,), is_bias=True)
        # However wide, the block starts as the plain convolution would: with He's kernel.
        self.start_from(self.skip.numpy(), self.bias.numpy())

    @property
    def weight(self):
        """The equivalent kernel, float32 (out_channels, in_channels, k, k), mixed precision or not.
        """
        with paddle.amp.auto_cast(enable=False):
            wide = paddle.matmul(self.squeeze, self.expand.flatten(1))  # (out, e) x (e, in * k * k)
            return wide.reshape(self.skip.shape) + self.skip

    def start_from(self, weight, bias):
        """Set the parallel kernel and the bias so that the block equals the given convolution.

        Parameters
        ----------
        weight : float32 array (out_channels, in_channels, k, k)
        bias : float32 array (out_channels,)
        """
        with paddle.no_grad():
            self.skip.set_value(paddle.to_tensor(weight) - (self.weight - self.skip))
            self.bias.set_value(bias)

    def forward(self, features):
        padding = self.skip.shape[-1] // 2
        if not features.place.is_cpu_place():
            return nn.functional.conv2d(features, self.weight, self.bias, padding=padding)
        linear = nn.functional.conv2d(features, self.weight, padding=padding)
        # The bias as a convolution of ones: the same numbers, but a gradient that Paddle's CPU
        # build computes ten times faster than that of a broadcast addition.
        ones = paddle.ones([linear.shape[0], 1, *linear.shape[2:]])
        return linear + nn.functional.conv2d(ones, self.bias.reshape([-1, 1, 1, 1]))


class EdgeBlock(LinearBlock):
    """A linear block with three more branches: 1x1, then Sobel's or Laplace's kernel and a factor.

    As the block of ECBSR (ACM MM 2021), whose inner biases are left out: these kernels sum to zero,
    so that such a bias adds nothing. Arguments as for `LinearBlock`, with a kernel of 3.
    """

    _has_edges = False  # until they are made

    def __init__(self, in_channels, out_channels, kernel, expansion, rate=1.0):
        super().__init__(in_channels, out_channels, kernel, expansion, rate)
        attributes = [paddle.ParamAttr(initializer=initializer, learning_rate=rate)
                      for initializer in (nn.initializer.XavierNormal(),
                                          nn.initializer.Normal(std=_EDGE_SCALE))]
        weight, bias = self.weight.numpy(), self.bias.numpy()
        self.edge_inner = self.create_parameter((3, out_channels, in_channels), attributes[0])
        self.edge_scale = self.create_parameter((3, out_channels), attributes[1])
        self._has_edges = True
        self.start_from(weight, bias)

    @property
    def weight(self):
        """As `LinearBlock.weight`."""
        plain = super().weight
        if not self._has_edges:
            return plain
        with paddle.amp.auto_cast(enable=False):
            inner = (self.edge_scale.unsqueeze(-1) * self.edge_inner).flatten(1)  # (3, out * in)
            edges = paddle.matmul(inner, paddle.to_tensor(EDGES).flatten(1), transpose_x=True)
            return plain + edges.reshape(plain.shape)


def convolution(in_channels, out_channels, kernel, expansion, rate=1.0, block=BLOCKS[0]):
    """A k x k convolution with He initialisation, or the block that becomes one.

    Edges are those of 3x3 kernels; other convolutions take the linear block.
    """
    if expansion:
        kind = EdgeBlock if block == "edge" and kernel == 3 else LinearBlock
        return kind(in_channels, out_channels, kernel, expansion, rate)
    he = nn.initializer.KaimingNormal(fan_in=kernel**2 * in_channels)
    return nn.Conv2D(in_channels, out_channels, kernel, padding=kernel // 2,
                     weight_attr=paddle.ParamAttr(initializer=he, learning_rate=rate),
                     bias_attr=paddle.ParamAttr(learning_rate=rate))
