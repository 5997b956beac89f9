"""Describe a sub-pixel CNN in the variants of a study: one family, each row of it a name."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import COLOURS, SCALES, Network, variant
from elsr_paddle.networks.operations import ACTIVATIONS
from elsr_paddle.options import option

REDUCTION = 16  # of channels inside the attention, as in RCAN (arXiv 1807.02758)


@dataclass(frozen=True)
class SubpixelCNN(Network):
    """3x3 convolutions at the picture's resolution, then a pixel shuffle; bicubic is added.

    `depth` counts every convolution but those of the attention. Between the first and the last one
    they stand alone or, with `blocks`, in pairs with a skip; an odd one is left alone at the end.
    """

    name = "subpixel-cnn"
    scale: int = option(2, "enlargement", choices=SCALES)
    width: int = option(64, "channels", minimum=1)
    depth: int = option(8, "3x3 convolutions", minimum=2)
    activation: str = option("relu", "activation", choices=(*ACTIVATIONS, "prelu"))
    batch_norm: bool = option(False, "batch norm behind each convolution but the last",
                              choices=(True, False))
    blocks: bool = option(False, "pairs of convolutions with a skip", choices=(True, False))
    attention: bool = option(False, "weigh the channels by their means before the last convolution",
                             choices=(True, False))
    residual: bool = option(True, "add the picture enlarged by bicubic", choices=(True, False))
    colour: str = option("y", "luma or RGB", choices=COLOURS)

    def layers(self, x):
        skip = body = self._convolution(x, "head")
        for index in range(self.depth - 2):
            if index % 2 == 0:
                skip = body
            body = self._convolution(body, f"body.{index}")
            if self.blocks and index % 2:
                body = body + skip
        if self.attention:
            body = self._weighed(body)
        tail = body.conv("tail", self.channels * self.scale**2).pixel_shuffle(self.scale)
        return tail + x.bicubic(self.scale) if self.residual else tail

    def _convolution(self, x, name):
        x = x.conv(f"{name}.0", self.width)
        x = x.batch_norm(f"{name}.1") if self.batch_norm else x
        return x.activate(self.activation, f"{name}.2")

    def _weighed(self, x):
        squeezed = x.global_pool().conv("attention.0", max(1, self.width // REDUCTION), kernel=1)
        factors = squeezed.activate("relu").conv("attention.1", self.width, kernel=1)
        return x.channel_scale(factors.activate("sigmoid"))


_BLOCKS = {"batch_norm": True, "blocks": True}  # the study builds each row on the one before

KINDS = (SubpixelCNN, *(variant(SubpixelCNN, f"subpixel-cnn-{row}", **options) for row, options in (
    ("bn", {"batch_norm": True}),
    ("blocks", _BLOCKS),
    ("leaky", {**_BLOCKS, "activation": "leaky_relu"}),
    ("prelu", {**_BLOCKS, "activation": "prelu"}),
    ("16", {**_BLOCKS, "depth": 16}),
    ("32", {**_BLOCKS, "depth": 32}),
    ("w32", {**_BLOCKS, "width": 32}),
    ("w96", {**_BLOCKS, "width": 96}),
    ("w128", {**_BLOCKS, "width": 128}),
    ("attention", {**_BLOCKS, "attention": True}),
)))
