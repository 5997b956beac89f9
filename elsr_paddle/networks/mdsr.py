"""Describe MDSR: one body of residual blocks for three scales."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import SCALES
from elsr_paddle.networks.residual_blocks import (
    MEAN,
    ResidualNetwork,
    enlarged,
    published_block,
    published_body,
    published_steps,
    residual_block,
    residual_body,
)
from elsr_paddle.options import option


@dataclass(frozen=True)
class MDSRBaseline(ResidualNetwork):
    """One body of residual blocks for x2, x3 and x4, with blocks and tails of each scale's own.

    3,227,203 parameters, those of all scales; `scale` tells which of them are used and trained. The
    paper trains all in turn: `train --in-turn 2+3+4`.
    """

    name = "mdsr-baseline"

    def layers(self, x):
        head = x.shift([-mean for mean in MEAN]).conv("head", self.width)
        scales = sorted(SCALES, key=lambda scale: scale == self.scale)  # the one that is used last
        for scale in scales:
            first = residual_block(head, f"head.x{scale}.0", kernel=5)
            x = residual_block(first, f"head.x{scale}.1", kernel=5)
        body = residual_body(x, self)
        for scale in scales:
            x = enlarged(body, f"tail.x{scale}", scale)
        return x.conv("tail.out", 3).shift(MEAN)

    def published(self):
        own = {}
        for place, scale in enumerate(SCALES):
            own |= published_block(f"head.x{scale}.0", f"pre_process.{place}.0")
            own |= published_block(f"head.x{scale}.1", f"pre_process.{place}.1")
            own |= published_steps(f"tail.x{scale}", f"upsample.{place}", scale)
        return ({"head": "head.0", **published_body(self), **own, "tail.out": "tail.0"},)


@dataclass(frozen=True)
class MDSR(MDSRBaseline):
    """MDSR at full size: 80 blocks, 7,953,987 parameters."""

    name = "mdsr"
    depth: int = option(80, "residual blocks", minimum=1)


KINDS = (MDSRBaseline, MDSR)
