"""Describe ELSR-Y: ELSR's cost spent on luma alone, this project's own step beyond the paper."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class ELSRY(Network):
    """A head, a body of 3x3 convolutions and a tail, each but the tail followed by a PReLU.

    With the skip, the head's output is added before the body's last PReLU. 3,624 parameters at x4.
    """

    name = "elsr-y"
    colour = "y"
    learning_rate_factor = 0.35
    scale: int = option(4, "enlargement", choices=SCALES)
    width: int = option(8, "channels of head and body", minimum=1)
    depth: int = option(4, "3x3 convolutions in the body", minimum=1)
    head_kernel: int = option(3, "side of the head's kernel", choices=(1, 3, 5))
    tail_kernel: int = option(3, "side of the tail's kernel", choices=(1, 3, 5))
    skip: bool = option(True, "add the head's output to the body's", choices=(True, False))

    def layers(self, x):
        head = x.conv("head.0", self.width, self.head_kernel).prelu("head.1")
        body = head
        for index in range(self.depth):
            if index > 0:
                body = body.prelu(f"body.{2 * index - 1}")
            body = body.conv(f"body.{2 * index}", self.width)
        body = (body + head if self.skip else body).prelu("activation")
        return body.conv("tail", self.scale**2, self.tail_kernel).pixel_shuffle(self.scale)


@dataclass(frozen=True)
class ELSRM(ELSRY):
    """ELSR-Y, wider and deeper, for five times its cost."""

    name = "elsr-m"
    learning_rate_factor = 0.25
    width: int = option(16, "channels of head and body", minimum=1)
    depth: int = option(6, "3x3 convolutions in the body", minimum=1)


@dataclass(frozen=True)
class ELSRL(ELSRY):
    """ELSR-Y, wider and deeper again, for fifteen times its cost."""

    name = "elsr-l"
    learning_rate_factor = 0.25
    width: int = option(24, "channels of head and body", minimum=1)
    depth: int = option(9, "3x3 convolutions in the body", minimum=1)


KINDS = (ELSRY, ELSRM, ELSRL)
