"""Describe EDSR: residual blocks without batch norm between a head and a tail."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.residual_blocks import (
    MEAN,
    ResidualNetwork,
    enlarged,
    published_body,
    published_steps,
    residual_body,
)
from elsr_paddle.options import option


@dataclass(frozen=True)
class EDSRBaseline(ResidualNetwork):
    """Residual blocks of 64 channels between head and tail (arXiv 1707.02921).

    1,369,859, 1,554,499 and 1,517,571 parameters at x2, x3 and x4.
    """

    name = "edsr-baseline"

    def layers(self, x):
        head = x.shift([-mean for mean in MEAN]).conv("head", self.width)
        x = enlarged(residual_body(head, self), "tail", self.scale)
        return x.conv("tail.out", 3).shift(MEAN)

    def published(self):
        up = published_steps("tail", "tail.0", self.scale)
        return ({"head": "head.0", **published_body(self), **up, "tail.out": "tail.1"},)


@dataclass(frozen=True)
class EDSR(EDSRBaseline):
    """EDSR at full size: 40.7 M, 43.7 M and 43.1 M parameters at x2, x3 and x4."""

    name = "edsr"
    width: int = option(256, "channels of the body", minimum=1)
    depth: int = option(32, "residual blocks", minimum=1)
    residual_scale: float = option(0.1, "factor on what each block adds", minimum=0)


KINDS = (EDSRBaseline, EDSR)
