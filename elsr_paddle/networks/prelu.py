"""Compute PReLU in a way that a CPU trains fast."""

from elsr_paddle.framework import paddle

nn = paddle.nn


class PReLU(nn.PReLU):
    """Paddle's PReLU, with the same parameter and the same values.

    On a CPU the negative part goes through a depthwise 1x1 convolution with the slopes as its
    kernel: with its gradient that takes Paddle's CPU build a quarter of the time of `prelu`.
    """

    def forward(self, features):
        if not features.place.is_cpu_place():
            return super().forward(features)
        channels = features.shape[1]
        slopes = self._weight.expand([channels]).reshape([channels, 1, 1, 1])
        positive = nn.functional.relu(features)
        return positive + nn.functional.conv2d(features - positive, slopes, groups=channels)
