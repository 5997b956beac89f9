"""Describe ELSR, the network of arXiv 2208.14600."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class ELSR(Network):
    """Four 3x3 convolutions, one PReLU and a pixel shuffle: 3,474 parameters at x4.

    There is no activation after the first convolution or after the addition. Source: the
    architecture figure of arXiv 2208.14600.

    Notes
    -----
    The released x4 checkpoint of ELSR-torch, a PyTorch port, maps to this network by name alone,
    shapes and channel orders being the same:

    ====================== ================ =================
    ELSR-torch             here             shape
    ====================== ================ =================
    layer1.weight          head.weight      (6, 3, 3, 3)
    layer1.bias            head.bias        (6,)
    layer2_4.conv1.weight  body.0.weight    (6, 6, 3, 3)
    layer2_4.conv1.bias    body.0.bias      (6,)
    layer2_4.prelu.weight  body.1.weight    (1,), "shared"
    layer2_4.conv2.weight  body.2.weight    (6, 6, 3, 3)
    layer2_4.conv2.bias    body.2.bias      (6,)
    layer5.weight          tail.weight      (48, 6, 3, 3)
    layer5.bias            tail.bias        (48,)
    ====================== ================ =================

    ELSR-torch also rectifies after the first convolution, after the addition and at the end, which
    the paper's figure does not show and this network does not do.
    """

    name = "elsr"
    colour = "rgb"
    scale: int = option(4, "enlargement", choices=SCALES)
    width: int = option(6, "channels of head and body", minimum=1)
    prelu: str = option("channel", "PReLU slopes: one a channel, or one shared",
                        choices=("channel", "shared"))

    def published(self):
        return ({"head": "layer1", "body.0": "layer2_4.conv1", "body.1": "layer2_4.prelu",
                 "body.2": "layer2_4.conv2", "tail": "layer5"},)

    def layers(self, x):
        head = x.conv("head", self.width)
        body = head.conv("body.0", self.width).prelu("body.1", shared=self.prelu == "shared")
        body = body.conv("body.2", self.width)
        return (body + head).conv("tail", 3 * self.scale**2).pixel_shuffle(self.scale)


KINDS = (ELSR,)
