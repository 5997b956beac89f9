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

    KINDS = (Toy,)

and one row in `networks/__init__.py`. Its fields are the flags of `train` and the metadata of its
weights; all else is made from the list of operations.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

from elsr_paddle.networks.graph import Graph, Value, begin
from elsr_paddle.options import check, option

SCALES = (2, 3, 4)
COLOURS = ("y", "rgb")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network without weights; each kind is a subclass with its options as fields.

    Attributes
    ----------
    name : str, of the kind
    colour : str, "rgb" or "y": the network reads and gives RGB, or luma alone; of the kind, or one
        of its options
    learning_rate_factor : float, share of the stages' learning rate that its training bears: deep
        stacks of linear blocks diverge at the rate of shallow ones (benchmarks/ablation.md).
    published_range : int, largest value of the pixels that published checkpoints are for

    Raises
    ------
    InputError for an option out of its range.
    """

    name: ClassVar[str]
    colour: ClassVar[str] = "rgb"  # a field where a kind has both
    learning_rate_factor: ClassVar[float] = 1.0
    published_range: ClassVar[int] = 1  # or 255

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

    def published(self) -> tuple[dict[str, str], ...]:
        """Tables of names, one for each origin of checkpoints that `import` reads.

        Layer here -> its name there. A layer without a row stands under the nearest name before it:
        with "body" -> "mid", "body.0.weight" is "mid.0.weight".
        """
        return ()

    def adapted(self, arrays: dict) -> dict:
        """The arrays of a published checkpoint, under its names, as this network needs them."""
        return arrays

    @cached_property
    def graph(self) -> Graph:
        """The operations, without arrays."""
        return self.layers(begin(self.channels)).graph()


def variant(kind: type[Network], name: str, **defaults: Any) -> type[Network]:
    """A network of the same kind with other defaults, under a name of its own.

    Parameters
    ----------
    kind : subclass of Network
    name : str
    **defaults : values of its fields
    """
    changed = [(field.name, field.type, option(defaults[field.name], **field.metadata))
               for field in dataclasses.fields(kind) if field.name in defaults]
    listed = ", ".join(f"{key} {value}" for key, value in defaults.items())
    return dataclasses.make_dataclass(
        kind.__name__, changed, bases=(kind,), frozen=True, eq=False, repr=False,
        namespace={"name": name, "__doc__": f"{kind.name} with {listed}."})
