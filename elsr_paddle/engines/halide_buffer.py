"""Hand numpy arrays to compiled Halide kernels, and load the libraries that hold them."""

from __future__ import annotations

import ctypes
import itertools
import operator
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np


class Dimension(ctypes.Structure):
    """halide_dimension_t of HalideRuntime.h."""

    _fields_ = [
        ("min", ctypes.c_int32),
        ("extent", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    ]


class Buffer(ctypes.Structure):
    """halide_buffer_t of HalideRuntime.h."""

    _fields_ = [
        ("device", ctypes.c_uint64),
        ("device_interface", ctypes.c_void_p),
        ("host", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("dimensions", ctypes.c_int32),
        ("dim", ctypes.POINTER(Dimension)),
        ("padding", ctypes.c_void_p),
    ]

    @classmethod
    def of(cls, array: np.ndarray, first: int = 0) -> Buffer:
        """A view of an array, its axes turned round: Halide's innermost comes first.

        Parameters
        ----------
        array : uint or float array
        first : int, the coordinate of the first element along the second dimension from within,
            which in pictures is the column; 0 along all others
        """
        strides = None if array.flags.c_contiguous else array.strides
        layout = _layout(array.shape, array.dtype, strides, first)
        buffer = cls.from_buffer_copy(layout)
        buffer.layout = layout  # owns the dimensions
        buffer.show(array)
        return buffer

    def show(self, array: np.ndarray) -> None:
        """View another array of the same shape and strides from now on."""
        self.host = array.__array_interface__["data"][0]
        self.array = array  # kept as long as its address is


_TYPE_CODES = {"u": 1, "f": 2}


@lru_cache
def _layout(shape, dtype, strides, first):
    """A buffer without data; kept, since making one takes longer than small pictures can spare."""
    extents = shape[::-1]
    if strides is None:  # numpy's are arbitrary for an extent of 1, which Halide does not accept
        steps = list(itertools.accumulate((1, *extents[:-1]), operator.mul))
    else:
        steps = [stride // dtype.itemsize for stride in reversed(strides)]
        if extents[0] == 1:
            steps[0] = 1
    dimensions = [Dimension(first * (number == 1), extent, step, 0)
                  for number, (extent, step) in enumerate(zip(extents, steps))]
    return Buffer(
        type_code=_TYPE_CODES[dtype.kind],
        type_bits=8 * dtype.itemsize,
        type_lanes=1,
        dimensions=len(shape),
        dim=(Dimension * len(shape))(*dimensions),
    )


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
def _keep_going(_context, _message):
    """Halide's own handler would end the process; the call returns an error code as well."""


def load_functions(path: Path, names: Sequence[str]) -> list:
    """The kernels of a shared library, by name; ctypes releases the GIL while they run."""
    library = ctypes.CDLL(str(path))
    library.halide_set_error_handler(_keep_going)
    return [library[name] for name in names]


def check(error: int) -> None:
    """Raise RuntimeError if a kernel returned an error."""
    if error:
        raise RuntimeError(f"a compiled kernel failed with Halide's error {error}")
