"""Bring the weights of published checkpoints under the names of this project's networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.pickles import load_pdparams, load_torch

_LISTED = 5  # parameters that an error names; a wrong option makes all of them wrong


def load_published(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint of PyTorch (.pt, .pth) or, by its suffix, of Paddle.

    Raises
    ------
    FileNotFoundError, InputError as `pickles.load_torch`.
    """
    return load_pdparams(path) if Path(path).suffix == ".pdparams" else load_torch(path)


def translated(network: Network, arrays: dict, pixel_range: int | None = None) -> dict:
    """A published checkpoint's arrays as the parameters of a network.

    Parameters
    ----------
    network : Network
    arrays : dict of str -> array, by the published names
    pixel_range : 1 or 255, the largest value of the pixels that the checkpoint is for; None takes
        that of the published ones.

    Returns
    -------
    dict of str -> float32 array, all parameters of the network

    Raises
    ------
    InputError that names the parameters that are missing, left over or of another shape, and for a
    network without a table of names.
    """
    tables = network.published()
    if not tables:
        raise InputError(f"no published checkpoints of {network.name} are known")
    theirs = network.adapted(arrays)
    names = [{ours: _their_name(ours, table) for ours in network.graph.parameters()}
             for table in tables]
    best = max(names, key=lambda found: sum(name in theirs for name in found.values()))
    _check(network, best, theirs)
    given = {ours: theirs[name].astype(np.float32) for ours, name in best.items()}
    return _on_unit_range(network, given, pixel_range or network.published_range)


def _their_name(ours, table):
    """A parameter's published name: the longest part of it that the table has, replaced."""
    parts = ours.split(".")
    for length in range(len(parts), 0, -1):
        layer = ".".join(parts[:length])
        if layer in table:
            return ".".join([table[layer], *parts[length:]])
    return ours


def _check(network, names, theirs):
    wrong = [f"{name}: expected {shape} for {ours} but got "
             f"{theirs[name].shape if name in theirs else 'none'}"
             for (ours, shape), name in zip(network.graph.parameters().items(), names.values())
             if name not in theirs or theirs[name].shape != shape]
    wrong += [f"{name}: {network.name} has no such layer" for name in theirs
              if name not in names.values()]
    if wrong:
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        options = ", ".join(f"{key} {value}" for key, value in network.config.items())
        raise InputError(f"the checkpoint is not one of {network.name} with {options}: "
                         + "; ".join(wrong[:_LISTED]) + more)


def _on_unit_range(network, arrays, pixel_range):
    """Arrays for pixels in 0..`pixel_range` -> those for [0, 1]: the biases alone change.

    That is exact where everything between commutes with a factor.
    """
    bent = [node.op.title for node in network.graph.nodes
            if not (node.op.homogeneous or isinstance(node.op, ops.Shift))]
    if pixel_range != 1 and bent:
        raise InputError(f"expected weights for pixels in 0..1, since {network.name} has "
                         f"{' and '.join(sorted(set(bent)))}, but got 0..{pixel_range}")
    return {name: array / np.float32(pixel_range) if name.endswith(".bias") else array
            for name, array in arrays.items()}
