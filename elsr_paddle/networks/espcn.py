"""Describe ESPCN, the network that introduced the pixel shuffle, and a wider form with four
layers."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import COLOURS, SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class ESPCN(Network):
    """Efficient sub-pixel CNN (arXiv 1609.05158): three convolutions, then a pixel shuffle.

    5x5 to 64 channels, 3x3 to 32, 3x3 to scale * scale; the last one learns at a tenth of the rate.
    22,729 parameters at x3.
    """

    name = "espcn"
    scale: int = option(3, "enlargement", choices=SCALES)
    activation: str = option("tanh", "tanh as in the paper, or another",
                             choices=("tanh", "relu", "gelu"))
    colour: str = option("y", "luma as in the paper, or RGB", choices=COLOURS)

    def layers(self, x):
        x = x.conv("head", 64, kernel=5).activate(self.activation)
        x = x.conv("body", 32).activate(self.activation)
        tail = x.conv("tail", self.channels * self.scale**2, learning_rate=0.1)
        return tail.pixel_shuffle(self.scale)

    def published(self):
        return ({"head": "first_part.0", "body": "first_part.2", "tail": "last_part.0"},)


@dataclass(frozen=True)
class ESPCN4(Network):
    """Four layers with ReLU: 5x5 to 64 channels, 3x3 to 64, to 32 and to scale * scale.

    58,212 parameters at x2.
    """

    name = "espcn-4"
    scale: int = option(2, "enlargement", choices=SCALES)
    colour: str = option("y", "luma or RGB", choices=COLOURS)

    def layers(self, x):
        x = x.conv("head", 64, kernel=5).activate("relu")
        x = x.conv("body.0", 64).activate("relu").conv("body.1", 32).activate("relu")
        return x.conv("tail", self.channels * self.scale**2).pixel_shuffle(self.scale)


KINDS = (ESPCN, ESPCN4)
