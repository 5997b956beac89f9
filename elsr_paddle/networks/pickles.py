"""Read the arrays of Paddle's and PyTorch's files of weights, which are pickles, and run nothing.

A pickle may name any function and have it called. The reader here knows numbers, text, plain
containers and tensors; whatever else a file names is refused by its name. Neither framework is
needed.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elsr_paddle.errors import InputError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what PyTorch wrote at the start before 1.6
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2",
             "LongStorage": "<i8", "IntStorage": "<i4", "ByteStorage": "|u1", "BoolStorage": "|b1"}
# Where a checkpoint holds more than weights, they stand under one of these.
_WEIGHTS_KEYS = ("params_ema", "params", "state_dict", "model_state_dict", "model")


def as_float32(arrays: dict, path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of floating-point numbers as float32.

    Raises
    ------
    InputError that names an array of another type.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise InputError(f"{path}: expected floating-point weights but {name} is {array.dtype}")
    return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


class _Restricted(pickle.Unpickler):
    """An unpickler that gives what `ALLOWED` names, and refuses all else."""

    ALLOWED: dict = {("collections", "OrderedDict"): collections.OrderedDict}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise InputError(f"refused: the file asks to run {module}.{name}; save the state_dict "
                             "of the network alone")
        return self.ALLOWED[module, name] or super().find_class(module, name)


class _ArraysOnly(_Restricted):
    """Knows numpy arrays; None stands for the thing of that name itself."""

    ALLOWED = _Restricted.ALLOWED | dict.fromkeys((
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    ))


def load_pdparams(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a `.pdparams` file, Paddle's pickle, without running what it may hold.

    Parameters
    ----------
    path : str or Path of a file written by `paddle.save(model.state_dict(), path)`.

    Returns
    -------
    dict of str -> float32 array; PReLU's private `_weight` is given as `weight`.

    Raises
    ------
    FileNotFoundError if there is no such file.
    InputError if it is damaged, holds anything but arrays, or asks for any other call.
    """
    state = _unpickled(path, "a .pdparams", lambda data: _ArraysOnly(io.BytesIO(data)).load())
    return _named_arrays(state, path)


def _unpickled(path, kind, load):
    """What `load` makes of the bytes of a file; one line for whatever damaged ones raise."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        return load(path.read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to spell
        raise InputError(f"{path} is damaged or not {kind} file: {error}") from error


def _named_arrays(state, path):
    """Keep what is an array; Paddle saves a table of its own parameter names along with them."""
    if not isinstance(state, dict):
        raise InputError(f"{path} holds {type(state).__name__}, expected a dict of arrays")
    # Paddle >= 3 pickles a tensor as the tuple (name, array).
    unpacked = {k: v[1] if isinstance(v, tuple) and len(v) == 2 else v for k, v in state.items()}
    arrays = {
        str(name).replace("._weight", ".weight"): array
        for name, array in unpacked.items()
        if isinstance(array, np.ndarray)
    }
    if not arrays:
        raise InputError(f"{path} holds no arrays")
    return as_float32(arrays, path)


@dataclass
class _Storage:
    """The numbers that tensors share; in the older format they follow after the tensors."""

    dtype: np.dtype
    count: int
    data: bytes = b""


@dataclass(frozen=True)
class _Tensor:
    """A tensor as PyTorch pickles it: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple

    def array(self):
        """A copy in memory of its own, every index of which was found inside the storage."""
        numbers = np.frombuffer(self.storage.data, self.storage.dtype)
        shape, strides = (tuple(map(int, values)) for values in (self.shape, self.strides))
        last = self.offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
        fits = len(shape) == len(strides) and min((self.offset, *shape, *strides)) >= 0
        if not fits or (math.prod(shape) and last >= len(numbers)):
            raise InputError(f"a tensor of shape {shape} lies outside its storage")
        steps = [stride * numbers.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(numbers[self.offset:], shape, steps)
        return np.array(view)


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


class _TorchOnly(_Restricted):
    """Knows tensors; `find` gives the storage that a key names.

    Parameters
    ----------
    file : binary file
    find : callable, (dtype, key, count) -> _Storage
    """

    ALLOWED = _Restricted.ALLOWED | {
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    } | {("torch", name): np.dtype(kind) for name, kind in _STORAGES.items()}

    def __init__(self, file, find):
        super().__init__(file)
        self._find = find

    def persistent_load(self, identity):
        """('storage', type, key, device, count); views within a storage are of PyTorch 0.x."""
        kind, dtype, key, _, count, *view = identity
        if kind != "storage" or not isinstance(dtype, np.dtype) or any(view):
            raise InputError(f"refused: expected a storage but the file names {kind}")
        return self._find(dtype, str(key), int(count))


def load_torch(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a file that `torch.save` wrote, in its zip format or the older one.

    Parameters
    ----------
    path : str or Path; it holds a `state_dict`, alone or in a dict of more, such as a checkpoint's
        "params" or "state_dict".

    Returns
    -------
    dict of str -> float32 array, without the "module." that several devices add to names, and
    without counters of batches.

    Raises
    ------
    FileNotFoundError if there is no such file.
    InputError if it is damaged, holds no weights, or asks for any call.
    """
    def load(data):
        state = _from_zip(data) if data[:2] == b"PK" else _from_legacy(data)
        return _state_dict(state)

    return as_float32(_unpickled(path, "a PyTorch", load), path)


def _from_zip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise InputError("refused: PyTorch compresses nothing, but parts of the file are")
        (pickled,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise InputError("expected numbers in little-endian order")

        def find(dtype, key, count):
            return _Storage(dtype, count, archive.read(f"{folder}data/{key}"))

        return _TorchOnly(io.BytesIO(archive.read(pickled)), find).load()


def _from_legacy(data):
    file, storages = io.BytesIO(data), {}

    def find(dtype, key, count):
        return storages.setdefault(key, _Storage(dtype, count))

    def load():
        return _TorchOnly(file, find).load()

    magic, _, system = load(), load(), load()
    if magic != _LEGACY_MAGIC or not system.get("little_endian", True):
        raise InputError("expected a file of torch.save with numbers in little-endian order")
    state = load()
    for key in load():
        storage = storages[str(key)]
        count = int.from_bytes(file.read(8), "little")
        storage.data = file.read(count * storage.dtype.itemsize)
    return state


def _state_dict(state):
    """Name -> array of the weights in what a file holds."""
    for key in _WEIGHTS_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    tensors = {str(name): value for name, value in state.items() if isinstance(value, _Tensor)} \
        if isinstance(state, dict) else {}
    if not tensors:
        raise InputError("holds no weights: expected a state_dict, or a dict with one under "
                         + ", ".join(_WEIGHTS_KEYS))
    return {name.removeprefix("module."): tensor.array() for name, tensor in tensors.items()
            if not name.endswith("num_batches_tracked")}
