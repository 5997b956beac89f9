"""Networks for the tests, which together have every operation in every place that matters."""

from __future__ import annotations

from dataclasses import dataclass

from elsr_paddle.networks.network import Network


@dataclass(frozen=True)
class Branched(Network):
    """Two skips, PReLUs behind a convolution and a sum, and an anchor added before the shuffle."""

    name = "branched"
    colour = "y"
    scale: int = 4

    def layers(self, x):
        first = x.conv("first", 5, kernel=5)
        second = first.prelu("slopes.0").conv("second", 5)
        joined = (second + first).prelu("slopes.1")  # a skip from before the PReLU
        return (joined.conv("tail", 16) + x.conv("anchor", 16, kernel=1)).pixel_shuffle(4)


@dataclass(frozen=True)
class Residual(Network):
    """As EDSR: mean shift, batch norm that can be folded and that cannot, residual scaling, two
    shuffles, and a convolution behind them."""

    name = "residual"
    colour = "rgb"
    scale: int = 4

    def layers(self, x):
        head = x.shift((-0.4, -0.45, -0.5)).conv("head", 6)
        body = head.conv("body.0", 6).batch_norm("norm.0").activate("relu").batch_norm("norm.1")
        joined = head + body * 0.1
        half = joined.conv("up.0", 24).pixel_shuffle(2).prelu("slopes", shared=True)
        whole = half.conv("up.1", 24).pixel_shuffle(2).activate("leaky_relu")
        return whole.conv("tail", 3, kernel=5).shift((0.4, 0.45, 0.5))


@dataclass(frozen=True)
class OnBicubic(Network):
    """As SRCNN: convolutions on the enlarged picture, and a global residual."""

    name = "on-bicubic"
    colour = "y"
    scale: int = 3

    def layers(self, x):
        enlarged = x.bicubic(self.scale)
        body = enlarged.conv("head", 4, kernel=9).activate("gelu").conv("body", 3, kernel=1)
        return body.activate("relu").conv("tail", 1, kernel=5) + enlarged


@dataclass(frozen=True)
class Saturating(Network):
    """Tanh and sigmoid next to the picture and to the shuffle, and the picture as residual."""

    name = "saturating"
    colour = "y"
    scale: int = 2

    def layers(self, x):
        body = x.activate("tanh").conv("head", 5, kernel=7).activate("tanh").conv("tail", 4)
        return body.activate("sigmoid").pixel_shuffle(2) + x.bicubic(2)


@dataclass(frozen=True)
class Attentive(Network):
    """Channel attention: a factor for each channel from the means of all of them."""

    name = "attentive"
    colour = "rgb"
    scale: int = 2

    def layers(self, x):
        features = x.conv("head", 6)
        squeezed = features.global_pool().conv("squeeze", 3, kernel=1).activate("relu")
        factors = squeezed.conv("excite", 6, kernel=1).activate("sigmoid")
        return features.channel_scale(factors).conv("tail", 12).pixel_shuffle(2)


ODD = (Branched(), Residual(), OnBicubic(), Saturating(), Attentive())
