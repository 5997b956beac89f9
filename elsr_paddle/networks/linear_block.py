"""Train a convolution as a wider linear block, for a better optimum of the same network."""

from elsr_paddle.framework import paddle

nn = paddle.nn


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


def convolution(in_channels, out_channels, kernel, expansion, rate=1.0):
    """A k x k convolution with He initialisation, or the linear block that becomes one."""
    if expansion:
        return LinearBlock(in_channels, out_channels, kernel, expansion, rate)
    he = nn.initializer.KaimingNormal(fan_in=kernel**2 * in_channels)
    return nn.Conv2D(in_channels, out_channels, kernel, padding=kernel // 2,
                     weight_attr=paddle.ParamAttr(initializer=he, learning_rate=rate),
                     bias_attr=paddle.ParamAttr(learning_rate=rate))
