"""Build residual blocks without batch norm, and name their layers as EDSR-PyTorch does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.networks.graph import Value
from elsr_paddle.networks.network import SCALES, Network
from elsr_paddle.options import option

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K's RGB, in [0, 1], as published with the paper


@dataclass(frozen=True)
class ResidualNetwork(Network):
    """What EDSR and MDSR (arXiv 1707.02921) share, in their smaller form."""

    learning_rate_factor = 0.05  # the paper's 1e-4, of the rows' 2e-3
    published_range = 255
    scale: int = option(2, "enlargement", choices=SCALES)
    width: int = option(64, "channels of the body", minimum=1)
    depth: int = option(16, "residual blocks", minimum=1)
    residual_scale: float = option(1.0, "factor on what each block adds", minimum=0)

    def adapted(self, arrays):
        """Without the mean shifts, which stand in published files too but are constants here."""
        shift = arrays.get("sub_mean.bias")
        if shift is not None and not np.allclose(shift, [-255 * mean for mean in MEAN], atol=0.01):
            raise InputError(f"expected the mean {MEAN} in sub_mean but got {shift / -255}; "
                             "weights for pixels in 0..255 with DIV2K's mean can be imported")
        return {name: array for name, array in arrays.items()
                if not name.startswith(("sub_mean.", "add_mean."))}


def residual_body(head: Value, network: ResidualNetwork) -> Value:
    """Residual blocks, a convolution, and the head's output added to its own."""
    x = head
    for index in range(network.depth):
        x = residual_block(x, f"body.{index}", network.residual_scale)
    return x.conv("body.out", network.width) + head


def residual_block(x: Value, name: str, factor: float = 1.0, kernel: int = 3) -> Value:
    """Convolution, ReLU, convolution, times the factor, and the input added."""
    inner = x.conv(f"{name}.0", x.channels, kernel).activate("relu")
    inner = inner.conv(f"{name}.1", x.channels, kernel)
    return (inner if factor == 1 else inner * factor) + x


def enlarged(x: Value, name: str, scale: int) -> Value:
    """Features enlarged by convolutions and pixel shuffles; x4 in two steps of x2."""
    for index, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = x.conv(f"{name}.{index}", x.channels * factor**2).pixel_shuffle(factor)
    return x


def published_body(network: ResidualNetwork) -> dict[str, str]:
    """Layers of `residual_body` -> those of EDSR-PyTorch."""
    blocks = {ours: theirs for index in range(network.depth) for ours, theirs
              in published_block(f"body.{index}", f"body.{index}").items()}
    return {**blocks, "body.out": f"body.{network.depth}"}


def published_block(ours: str, theirs: str) -> dict[str, str]:
    """Layers of a `residual_block` -> those of EDSR-PyTorch."""
    return {f"{ours}.0": f"{theirs}.body.0", f"{ours}.1": f"{theirs}.body.2"}


def published_steps(ours: str, theirs: str, scale: int) -> dict[str, str]:
    """Layers of `enlarged` -> those of EDSR-PyTorch, which numbers the pixel shuffles, too."""
    return {f"{ours}.{index}": f"{theirs}.{2 * index}" for index in range(2 if scale == 4 else 1)}
