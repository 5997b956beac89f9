"""Describe FSRCNN, which shrinks the features, maps them and enlarges at the end."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import COLOURS, SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class FSRCNN(Network):
    """Five steps (arXiv 1608.00367): extract, shrink, map, expand, and a transposed convolution.

    FSRCNN(56, 12, 4) has 12,464 weights besides biases and slopes. The transposed convolution has
    the kernel 9x9 at each scale, so that one set of weights starts another scale's. Engines run it
    as the convolution and the pixel shuffle that equal it.
    """

    name = "fsrcnn"
    scale: int = option(3, "enlargement", choices=SCALES)
    width: int = option(56, "channels of the extracted features, d in the paper", minimum=1)
    shrunk: int = option(12, "channels that are mapped, s in the paper", minimum=1)
    depth: int = option(4, "3x3 convolutions that map them, m in the paper", minimum=1)
    colour: str = option("y", "luma as in the paper, or RGB", choices=COLOURS)

    def layers(self, x):
        x = x.conv("head.0", self.width, kernel=5).prelu("head.1")
        x = x.conv("body.0", self.shrunk, kernel=1).prelu("body.1")
        for index in range(1, self.depth + 1):
            x = x.conv(f"body.{2 * index}", self.shrunk).prelu(f"body.{2 * index + 1}")
        last = 2 * self.depth + 2
        x = x.conv(f"body.{last}", self.width, kernel=1).prelu(f"body.{last + 1}")
        return x.transposed_conv("tail", self.channels, 9, self.scale, learning_rate=0.1)

    def published(self):
        return ({"head": "first_part", "body": "mid_part", "tail": "last_part"},)


KINDS = (FSRCNN,)
