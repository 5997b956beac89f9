"""Write files as `torch.save` does, in its zip format and the older one, without PyTorch.

Layouts: torch/serialization.py of PyTorch 2.5; `_save` and `_legacy_save`.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np

TYPES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage",
         "<i8": "LongStorage"}  # fmt: skip


class Storage:
    """Numbers under a key; `kind` is the stand-in class of the type."""

    def __init__(self, kind, key, array):
        self.kind, self.key, self.array = kind, key, array


class Tensor:
    """A tensor that pickles itself by PyTorch's function."""

    def __init__(self, storage, shape, strides, offset=0):
        self.storage, self.shape, self.strides, self.offset = storage, shape, strides, offset

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, self.offset, self.shape, self.strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    """Storages by name, as PyTorch stores them; the older format adds a view."""

    def __init__(self, file, legacy):
        super().__init__(file, protocol=2)
        self.storages, self._legacy = {}, legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        view = (None,) if self._legacy else ()
        return ("storage", value.kind, value.key, "cpu", value.array.size, *view)


@contextmanager
def standing_in():
    """Modules of PyTorch's names, which pickling a reference to them needs."""
    names = ("torch", "torch._utils")
    before = {name: sys.modules.get(name) for name in names}
    torch, utils = (types.ModuleType(name) for name in names)
    for name in TYPES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        raise AssertionError("only its name is written")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    sys.modules.update(zip(names, (torch, utils)))
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def tensors(arrays, torch):
    """name -> Tensor, each with a storage of its own."""
    found = OrderedDict()
    for number, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array)
        kind = getattr(torch, TYPES[array.dtype.str])
        strides = tuple(step // array.itemsize for step in array.strides)
        found[name] = Tensor(Storage(kind, str(number), array), array.shape, strides)
    return found


def save_torch(path, make, *, legacy=False):
    """Write a file as torch.save does.

    Parameters
    ----------
    path : Path
    make : dict of str -> array, or callable(torch) that gives what to save
    legacy : bool, the format before PyTorch 1.6
    """
    with standing_in() as torch:
        state = make(torch) if callable(make) else tensors(make, torch)
        file = io.BytesIO()
        pickler = _Pickler(file, legacy)
        pickler.dump(state)
        write = _write_legacy if legacy else _write_zip
        write(path, file.getvalue(), pickler.storages)


def _write_zip(path, pickled, storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.array.tobytes())
        archive.writestr("archive/version", "3\n")


def _write_legacy(path, pickled, storages):
    system = {"protocol_version": 1001, "little_endian": True,
              "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with path.open("wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(header, file, protocol=2)
        file.write(pickled)
        pickle.dump(sorted(storages), file, protocol=2)
        for key in sorted(storages):
            array = storages[key].array
            file.write(array.size.to_bytes(8, "little") + array.tobytes())
