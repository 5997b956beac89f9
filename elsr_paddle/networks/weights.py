"""Keep weights and training states on disk: safetensors, JSON metadata and a SHA-256 over both.

Nothing here unpickles what a user gives with an open unpickler, and nothing needs Paddle: whoever
only wants to upscale reads the weights with numpy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.networks import build
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.pickles import as_float32, load_pdparams

HEADER_KEY = "elsr_paddle"  # one key alone: safetensors writes several in any order
# How the LR was made that a network is for -> how its name ends; of others it is the model's.
NAME_ENDINGS = {"compressed": "-compressed", "jpeg": "-jpeg", "aliased": "-aliased",
                "opencv_cubic": "-aliased"}


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, read once and handed on.

    Attributes
    ----------
    network : Network
    graph : Graph of its operations, with arrays
    metadata : dict; "model" and "config" name the network, the rest tells how it was trained.
    path : Path of its file, or None
    """

    network: Network
    graph: Graph
    metadata: dict
    path: Path | None = None

    @property
    def scale(self) -> int:
        """How many times it enlarges."""
        return self.graph.scale

    @property
    def channels(self) -> int:
        """Of its pictures: 3 for RGB, 1 for luma."""
        return self.graph.channels

    @property
    def degradation(self) -> str:
        """How the LR images were made that it is for."""
        return degradation_of(self.metadata)

    @property
    def name(self) -> str:
        """The network's, and its ending where it is for LR of another kind."""
        return self.network.name + NAME_ENDINGS.get(self.degradation, "")


def trained(arrays: dict, metadata: dict, path: Path | None = None) -> Trained:
    """The network that arrays and their metadata make.

    Parameters
    ----------
    arrays : dict of str -> float array, parameters by name
    metadata : dict with "model", a name in `networks.NETWORKS`, and "config", its options

    Raises
    ------
    InputError if there is no such network or the arrays are not its parameters.
    """
    network = build(metadata["model"], metadata["config"])
    return Trained(network, network.graph.bind(arrays), metadata, path)


def read(path: str | Path) -> Trained:
    """Read a network from a file of weights.

    Raises
    ------
    FileNotFoundError, InputError as `load_weights`; InputError also if the file's arrays are not
    the parameters of its network.
    """
    arrays, metadata = load_weights(path)
    try:
        return trained(arrays, metadata, Path(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def save_tensors(path, tensors, metadata):
    """Write arrays and their metadata under `path`, whole or not at all.

    Parameters
    ----------
    path : str or Path
    tensors : dict of str -> numpy array
    metadata : dict that JSON can hold; returned as it is by `load_tensors`.

    Raises
    ------
    InputError if the file system refuses: disk full, read-only; what stood under `path` stays.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    header = {HEADER_KEY: f"{_digest(tensors, text)} {text}"}
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(save(tensors, header))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; what was saved before is intact"
        ) from error


def load_tensors(path):
    """Read what `save_tensors` wrote and check it against its SHA-256.

    Returns
    -------
    (dict of str -> numpy array, dict)

    Raises
    ------
    FileNotFoundError if there is no such file.
    InputError if it is not a file of ours or a single bit of it has changed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with safe_open(path, framework="np") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file: {error}") from error
    if HEADER_KEY not in header:
        raise InputError(f"{path} was not written by elsr-paddle: it has no metadata of ours")
    digest, _, text = header[HEADER_KEY].partition(" ")
    if _digest(tensors, text) != digest:
        raise InputError(f"{path} is damaged: its SHA-256 does not fit its contents")
    return tensors, json.loads(text)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file of weights, without its arrays and so without checking its SHA-256.

    Raises
    ------
    InputError if it is not a file of ours or holds no network.
    """
    try:
        with safe_open(path, framework="np") as opened:
            _, _, text = (opened.metadata() or {})[HEADER_KEY].partition(" ")
            metadata = json.loads(text)
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path} is damaged or not a file of weights: {error}") from error
    return _describing_a_network(metadata, path)


def _describing_a_network(metadata, path):
    """The metadata themselves, if they name a network."""
    model, config = metadata.get("model"), metadata.get("config")
    if not (isinstance(model, str) and isinstance(config, dict)):
        raise InputError(f"{path} holds no network: expected `model` and `config` in its metadata")
    return metadata


def load_weights(path):
    """The weights of a network and the metadata from which it can be rebuilt.

    Returns
    -------
    weights : dict of str -> float32 array
    metadata : dict; "model" and "config" describe the network, the rest how it was trained.

    Raises
    ------
    FileNotFoundError, InputError as `load_tensors`; InputError also if the file holds no network
    but, say, the state of a training run.
    """
    weights, metadata = load_tensors(path)
    return as_float32(weights, path), _describing_a_network(metadata, path)


def degradation_of(metadata):
    """How the LR images were made that a network is for, by a name in `degradations.DEGRADATIONS`.

    Bicubic where its file does not tell, being older than that entry, and where the pairs that it
    was trained on did not.
    """
    recorded = metadata.get("degradation", "unknown")
    return "bicubic" if recorded == "unknown" else recorded


def read_arrays(path):
    """The arrays of a file of weights: ours, or by its suffix a `.pdparams` from elsewhere.

    Raises
    ------
    FileNotFoundError, InputError as `load_weights` and `load_pdparams`.
    """
    return load_pdparams(path) if Path(path).suffix == ".pdparams" else load_weights(path)[0]


def fingerprint(arrays):
    """A short text that tells the weights of one network from those of another."""
    return _digest(arrays, "")[:12]


def _digest(tensors, text):
    """SHA-256 over the metadata's JSON, and names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
