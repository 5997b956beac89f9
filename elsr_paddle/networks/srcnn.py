"""Describe SRCNN, the first convolutional network of the field, and its deeper variants."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import COLOURS, SCALES, Network
from elsr_paddle.options import option

SIDES = ("9-1-5", "9-3-5", "9-5-5", "3-3-3", "3-3-3-3-3-3-3-3")


@dataclass(frozen=True)
class SRCNN(Network):
    """Convolutions with ReLU between them, on the picture that bicubic has enlarged.

    The paper's (arXiv 1501.00092) are 9-1-5 (8,129 parameters) and 9-5-5 (57,281): 64 channels
    after the first layer, half as many after the second. Those of 3x3 keep one width throughout.
    """

    name = "srcnn"
    scale: int = option(3, "enlargement", choices=SCALES)
    sides: str = option("9-1-5", "sides of the kernels, one a layer", choices=SIDES)
    width: int = option(64, "channels after the first layer", minimum=2)
    residual: bool = option(False, "add the enlarged picture to the output", choices=(True, False))
    colour: str = option("y", "luma as in the paper, or RGB", choices=COLOURS)

    def layers(self, x):
        enlarged = x.bicubic(self.scale)
        first, *middle, last = map(int, self.sides.split("-"))
        width = self.width if first == 3 else self.width // 2
        x = enlarged.conv("head", self.width, first).activate("relu")
        for index, kernel in enumerate(middle):
            x = x.conv(f"body.{index}", width, kernel).activate("relu")
        x = x.conv("tail", self.channels, last, learning_rate=0.1)
        return x + enlarged if self.residual else x

    def published(self):
        return ({"head": "conv1", "body.0": "conv2", "tail": "conv3"},)


KINDS = (SRCNN,)
