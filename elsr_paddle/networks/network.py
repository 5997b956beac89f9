"""State what every network states: its options, its operations, and what it reads.

A network is one frozen dataclass in one file:

    @dataclass(frozen=True)
    class Toy(Network):
        '''Two convolutions and a pixel shuffle.'''

        name = "toy"
        colour = "y"
        scale: int = option(2, "enlargement", choices=(2, 3, 4))

        def layers(self, x):
            x = x.conv("head", 8).activate("relu")
            return x.conv("tail", self.scale**2).pixel_shuffle(self.scale)

and one row in `networks.NETWORKS`. Its fields are the flags of `train` and the metadata of its
weights; all else is made from the list of operations.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

from elsr_paddle.networks.graph import Graph, Value, begin
from elsr_paddle.options import check

SCALES = (2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network without weights; each kind is a subclass with its options as fields.

    Attributes
    ----------
    name : str, of the kind
    colour : str, "rgb" or "y": the network reads and gives RGB, or luma alone.

    Raises
    ------
    InputError for an option out of its range.
    """

    name: ClassVar[str]
    colour: ClassVar[str] = "rgb"

    def __post_init__(self):
        check(self)

    def layers(self, x: Value) -> Value:
        """Write the network down: the output for the input `x`, a picture in [0, 1]."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Of the picture that is read and given: 3 for RGB, 1 for luma."""
        return 3 if self.colour == "rgb" else 1

    @property
    def config(self) -> dict[str, Any]:
        """The options by name, as the metadata of weights hold them."""
        return dataclasses.asdict(self)

    @cached_property
    def graph(self) -> Graph:
        """The operations, without arrays."""
        return self.layers(begin(self.channels)).graph()
