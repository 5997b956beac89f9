"""Describe ECBSR: plain 3x3 convolutions that are trained as edge-oriented blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elsr_paddle.networks.network import COLOURS, SCALES, Network
from elsr_paddle.options import option


@dataclass(frozen=True)
class ECBSR(Network):
    """ECBSR-MmCc (ACM MM 2021): m layers of c channels between head and tail, each with PReLU.

    The picture, each pixel repeated, is added to the output. M4C8 on luma has 3,624 parameters at
    x4. `--block edge` trains each convolution as the paper's edge-oriented block.
    """

    name = "ecbsr"
    scale: int = option(4, "enlargement", choices=SCALES)
    width: int = option(16, "channels, c in MmCc", minimum=1)
    depth: int = option(4, "layers between head and tail, m in MmCc", minimum=1)
    colour: str = option("y", "luma or RGB", choices=COLOURS)

    def layers(self, x):
        body = x.conv("head.0", self.width).prelu("head.1")
        for index in range(self.depth):
            body = body.conv(f"body.{2 * index}", self.width).prelu(f"body.{2 * index + 1}")
        tail = body.conv("tail", self.channels * self.scale**2)
        return (tail + x.repeat(self.scale**2)).pixel_shuffle(self.scale)

    def published(self):
        trained = _layers(self, "", ".act")  # as trained, once its blocks are collapsed
        return trained, _layers(self, ".0", ".1")  # and as ETDS's authors publish it

    def adapted(self, arrays):
        """Blocks as they are trained become the convolutions that equal them."""
        found = dict(arrays)
        for name in [name.removesuffix(".conv3x3.weight") for name in arrays
                     if name.endswith(".conv3x3.weight")]:
            parts = {part: found.pop(part) for part in arrays if part.startswith(f"{name}.conv")}
            found |= _collapsed(name, parts)
        return found


KINDS = (ECBSR,)


def _layers(network, convolution, activation):
    """Layer here -> layer of the published backbone, with its endings of the two."""
    last = network.depth + 1
    layers = {"head.0": f"backbone.0{convolution}", "head.1": f"backbone.0{activation}",
              "tail": f"backbone.{last}{convolution}"}
    for index in range(1, last):
        layers[f"body.{2 * index - 2}"] = f"backbone.{index}{convolution}"
        layers[f"body.{2 * index - 1}"] = f"backbone.{index}{activation}"
    return layers


def _collapsed(name, parts):
    """Weight and bias of the 3x3 convolution that a block of published names equals."""
    weight, bias = parts[f"{name}.conv3x3.weight"], parts[f"{name}.conv3x3.bias"]
    inner, inner_bias, outer, outer_bias = (
        parts[f"{name}.conv1x1_3x3.{part}"] for part in ("k0", "b0", "k1", "b1"))
    # (out, mid, 3, 3) after (mid, in, 1, 1); the border is padded with the inner bias.
    weight = weight + np.einsum("omhw,mi->oihw", outer, inner[:, :, 0, 0])
    bias = bias + outer_bias + np.einsum("omhw,m->o", outer, inner_bias)
    for branch in ("sbx", "sby", "lpl"):  # Sobel's two and Laplace's
        inner, inner_bias, factor, edge, outer_bias = (
            parts[f"{name}.conv1x1_{branch}.{part}"]
            for part in ("k0", "b0", "scale", "mask", "bias"))
        kernel = factor * edge  # (out, 1, 3, 3), each of its own channel
        weight = weight + kernel * inner
        bias = bias + outer_bias + kernel.sum((1, 2, 3)) * inner_bias
    return {f"{name}.weight": weight, f"{name}.bias": bias}
