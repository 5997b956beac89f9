"""List the networks: one row each. Nothing here needs Paddle."""

from __future__ import annotations

from elsr_paddle.errors import InputError
from elsr_paddle.networks.elsr import ELSR
from elsr_paddle.networks.elsr_y import ELSRL, ELSRM, ELSRY
from elsr_paddle.networks.espcn import ESPCN
from elsr_paddle.networks.network import Network

NETWORKS = {kind.name: kind for kind in (ELSR, ELSRY, ELSRM, ELSRL, ESPCN)}


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
