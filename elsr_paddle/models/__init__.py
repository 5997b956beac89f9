"""The networks by name."""

from elsr_paddle.errors import InputError
from elsr_paddle.models.arrays import (
    count_parameters,
    load_arrays,
    multiply_adds,
    plain_parameters,
    to_arrays,
    warm_start,
)
from elsr_paddle.models.elsr import ELSR
from elsr_paddle.models.elsr_y import ELSRY
from elsr_paddle.models.loading import enlarge, load_model

__all__ = [
    "MODELS",
    "build_model",
    "count_parameters",
    "enlarge",
    "load_arrays",
    "load_model",
    "multiply_adds",
    "plain_parameters",
    "to_arrays",
    "warm_start",
]

MODELS = {"elsr": ELSR, "elsr-y": ELSRY}


def build_model(metadata, expansion=0):
    """A network as described by the metadata of a weights file, with fresh weights.

    Parameters
    ----------
    metadata : dict with "model", a key of MODELS, and "config", the builder's arguments.
    expansion : int, as for ELSR.

    Raises
    ------
    InputError if there is no such model or it has no such configuration.
    """
    name, config = metadata.get("model"), metadata.get("config")
    if name not in MODELS:
        raise InputError(f"expected a model out of {', '.join(MODELS)} but got {name!r}")
    try:
        return MODELS[name](**config, expansion=expansion)
    except TypeError as error:
        raise InputError(f"model {name} cannot be built with {config}: {error}") from error
