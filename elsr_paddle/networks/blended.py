"""Blend a network's picture with bicubic's: less of what it adds, and of what it gets wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

from elsr_paddle.errors import InputError
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.weights import Trained


@dataclass(frozen=True)
class Blended(Network):
    """A network's output times `strength`, plus bicubic's times the rest.

    Both factors go into the last convolutions, see `rewrites.folded`: one more convolution of 5x5
    on the input is all that it costs.
    """

    inner: Network
    strength: float

    @property
    def name(self):
        return self.inner.name

    @property
    def colour(self):
        return self.inner.colour

    def layers(self, x):
        scale = self.inner.graph.scale
        return self.inner.layers(x) * self.strength + x.bicubic(scale) * (1 - self.strength)


def blended(trained: Trained, strength: float) -> Trained:
    """A trained network whose output is blended with bicubic.

    Parameters
    ----------
    trained : Trained
    strength : float, share of the network: 0 is bicubic, 1 the network as it is

    Raises
    ------
    InputError for a strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"expected a strength from 0 to 1 but got {strength}")
    if strength == 1:
        return trained
    network = Blended(trained.network, strength)
    return replace(trained, network=network, graph=network.graph.bind(trained.graph.arrays))
