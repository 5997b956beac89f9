"""Describe ESPCN, the network that introduced the pixel shuffle."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class ESPCN(Network):
    """Efficient sub-pixel CNN (arXiv 1609.05158): three convolutions, then a pixel shuffle.

    5x5 to 64 channels, 3x3 to 32, 3x3 to scale * scale; the last one learns at a tenth of the rate.
    22,729 parameters at x3.
    """

    name = "espcn"
    colour = "y"
    scale: int = option(3, "enlargement", choices=SCALES)
    activation: str = option("tanh", "tanh as in the paper, or another",
                             choices=("tanh", "relu", "gelu"))

    def layers(self, x):
        x = x.conv("head", 64, kernel=5).activate(self.activation)
        x = x.conv("body", 32).activate(self.activation)
        return x.conv("tail", self.scale**2, learning_rate=0.1).pixel_shuffle(self.scale)
