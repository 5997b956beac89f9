"""List the networks: one row a file. Nothing here needs Paddle."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from elsr_paddle.errors import InputError
from elsr_paddle.networks.network import Network

# File of this folder -> the names of its networks; its `KINDS` are the classes.
_FILES = {
    "elsr": ("elsr",),
    "elsr_y": ("elsr-y", "elsr-m", "elsr-l"),
    "espcn": ("espcn", "espcn-4"),
    "srcnn": ("srcnn",),
    "subpixel_cnn": ("subpixel-cnn", "subpixel-cnn-bn", "subpixel-cnn-blocks",
                     "subpixel-cnn-leaky", "subpixel-cnn-prelu", "subpixel-cnn-16",
                     "subpixel-cnn-32", "subpixel-cnn-w32", "subpixel-cnn-w96",
                     "subpixel-cnn-w128", "subpixel-cnn-attention"),
    "fsrcnn": ("fsrcnn",),
    "ecbsr": ("ecbsr",),
    "edsr": ("edsr-baseline", "edsr"),
    "mdsr": ("mdsr-baseline", "mdsr"),
}


class _Networks(dict):
    """Name -> kind of network. A file is imported when one of its networks is asked for, since
    those that are not would cost each start some milliseconds."""

    def __getitem__(self, name: str) -> type[Network]:
        kind = super().__getitem__(name)
        if isinstance(kind, str):
            self.update({kind.name: kind for kind in import_module(f"{__name__}.{kind}").KINDS})
            kind = super().__getitem__(name)
        return kind

    def values(self) -> Iterator[type[Network]]:
        """Every kind."""
        return (self[name] for name in list(self))


NETWORKS = _Networks({name: file for file, names in _FILES.items() for name in names})


def build(model: str, config: dict) -> Network:
    """The network that a name and its options, as the metadata of weights hold them, mean.

    Raises
    ------
    InputError if there is no such network, or none with such options.
    """
    if model not in NETWORKS:
        raise InputError(f"expected a network of {', '.join(NETWORKS)} but got {model!r}")
    try:
        return NETWORKS[model](**config)
    except TypeError as error:
        raise InputError(f"no {model} has the options {config}: {error}") from error
