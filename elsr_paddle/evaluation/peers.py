"""Describe the layers of published networks, to time them as ours are timed.

Time depends on layers alone, so the weights are random. What a published network adds to its last
layer's output, such as the input repeated, is left out: it costs no multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elsr_paddle.networks.elsr import ELSR
from elsr_paddle.networks.espcn import ESPCN
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.weights import Trained


@dataclass(frozen=True)
class Stack(Network):
    """Convolutions, each but the last followed by an activation, then a pixel shuffle.

    Attributes
    ----------
    widths : tuple of int, channels of each convolution but those to the pixels
    kernels : tuple of int, sides of the kernels of all of them
    image_channels : int, 3 for a network on RGB, 1 for one on luma
    activation : str, a name of `operations.ACTIVATIONS`, or prelu
    """

    name = "stack"
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    image_channels: int = 1
    activation: str = "relu"
    scale: int = 4

    @property
    def channels(self):
        return self.image_channels

    def layers(self, x):
        pixels = self.image_channels * self.scale**2
        to_pixels = [pixels] * (len(self.kernels) - len(self.widths))
        for number, (width, kernel) in enumerate(zip([*self.widths, *to_pixels], self.kernels)):
            if number:
                x = x.activate(self.activation, f"activation.{number}")
            x = x.conv(f"conv.{number}", width, kernel)
        return x.pixel_shuffle(self.scale)


def _espcn(first, second, scale=4):
    """Of the edge-SR study: 5x5, 3x3 and 3x3, on luma."""
    return Stack((first, second), (5, 3, 3), scale=scale)


def _ecbsr(blocks, width):
    """Source: ECBSR, ACM Multimedia 2021, on RGB as in the logs of ETDS."""
    return Stack((width,) * (blocks + 1), (3,) * (blocks + 2), image_channels=3, activation="prelu")


# (Method, scale) as `published` names it -> its layers. ETDS for inference (CVPR 2023) ends in a
# 1x1 convolution; FSRCNN, SRCNN and EDSR have layers that are no such stack.
PEERS = {
    ("ELSR-torch", 4): ELSR(),
    ("ESPCN, luma", 3): ESPCN(scale=3),
    ("ESPCN, luma", 4): ESPCN(scale=4),
    ("ESPCN D10-S15, luma", 2): _espcn(10, 15, scale=2),
    ("ESPCN D10-S15, luma", 3): _espcn(10, 15, scale=3),
    ("ESPCN D10-S15, luma", 4): _espcn(10, 15),
    ("ESPCN D12-S12, luma", 4): _espcn(12, 12),
    ("ESPCN D12-S24, luma", 4): _espcn(12, 24),
    ("ESPCN D16-S32, luma", 4): _espcn(16, 32),
    ("ECBSR-M4C16", 4): _ecbsr(4, 16),
    ("ECBSR-M4C32", 4): _ecbsr(4, 32),
    ("ECBSR-M6C40", 4): _ecbsr(6, 40),
    ("ETDS-M", 4): Stack((32,) * 7, (*(3,) * 8, 1), image_channels=3),
}


def with_random_weights(network: Network) -> Trained:
    """A network as it comes out of no training at all."""
    rng = np.random.default_rng(0)
    arrays = {name: _random(rng, shape) for name, shape in network.graph.parameters().items()}
    metadata = {"model": network.name, "config": network.config}
    return Trained(network, network.graph.bind(arrays), metadata)


def _random(rng, shape):
    """Kernels after which values are about as large as before; small biases and slopes."""
    if len(shape) == 4:
        return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
    return rng.uniform(0, 0.25, shape).astype(np.float32)
