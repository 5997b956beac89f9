"""Compile Halide kernels into one shared library, or in memory, and call them on numpy arrays."""

from __future__ import annotations

import ctypes
import inspect
import subprocess
from collections.abc import Sequence
from importlib import metadata as packages
from pathlib import Path

import halide as hl
import numpy as np

from elsr_paddle.engines.halide_buffer import Buffer, check, load_functions
from elsr_paddle.engines.halide_cache import cached_library
from elsr_paddle.engines.halide_kernel import normal_share
from elsr_paddle.training import halide_kernels
from elsr_paddle.training.halide_kernels import Machine, Plane


class Library:
    """Kernels compiled for one plane.

    Parameters
    ----------
    kernels : sequence of kernels of `halide_kernels`, each once
    plane : Plane

    Attributes
    ----------
    in_memory : bool, whether there is no C compiler to keep them with: they are then compiled anew
        in every process, and hold Python's lock while they run.
    note : str, where they come from
    """

    def __init__(self, kernels: Sequence, plane: Plane):
        self._kernels, self._plane = list(kernels), plane
        self._target = hl.get_host_target()
        self._machine = Machine.of(self._target)
        try:
            path, was_cached = cached_library(self._key(), self._build)
            names = [_name(index) for index in range(len(self._kernels))]
            self._functions = load_functions(path, names)
            self.in_memory = False
            self.note = "from the cache" if was_cached else "compiled and cached"
        except (OSError, RuntimeError, subprocess.SubprocessError):
            self._functions = [self._in_memory(kernel) for kernel in self._kernels]
            self.in_memory, self.note = True, "compiled in memory"

    def bind(self, kernel, arrays: Sequence[np.ndarray]):
        """A call of a kernel on arrays, which may be made again and again.

        Parameters
        ----------
        kernel : one of those given
        arrays : its arguments and then its results, as its docstring lists them.
            They are only referred to: the call reads what they then hold.

        Returns
        -------
        callable without arguments
        """
        call = MemoryCall if self.in_memory else LibraryCall
        return call(self._functions[self._kernels.index(kernel)], arrays)

    def _key(self):
        source = Path(halide_kernels.__file__).read_text(encoding="utf-8")
        shapes = [repr(self._plane), *map(repr, self._kernels)]
        return "\n".join(
            [packages.version("halide"), self._target.to_string(), *shapes, source,
             inspect.getsource(normal_share)]
        )

    def _build(self, path):
        modules = [
            hl.Pipeline(outputs).compile_to_module(arguments, _name(index), self._target)
            for index, kernel in enumerate(self._kernels)
            for outputs, arguments in [kernel.define(self._plane, self._machine)]
        ]
        module = hl.link_modules("kernels", modules)
        module.compile({hl.OutputFileType.object: str(path)})

    def _in_memory(self, kernel):
        outputs, arguments = kernel.define(self._plane, self._machine)
        return hl.Pipeline(outputs).compile_to_callable(arguments, self._target)


class LibraryCall:
    """A call of a function of a shared library; ctypes releases Python's lock while it runs."""

    def __init__(self, function, arrays):
        self._function = function
        self._buffers = [Buffer.of(array) for array in arrays]
        self._arguments = [ctypes.byref(buffer) for buffer in self._buffers]

    def __call__(self):
        check(self._function(*self._arguments))

    def replace(self, index: int, array: np.ndarray):
        """Read another array of the same shape and strides as argument `index` from now on."""
        self._buffers[index].show(array)


class MemoryCall:
    """A call of a kernel compiled in memory."""

    def __init__(self, function, arrays):
        self._function = function
        self._buffers = [hl.Buffer(array) for array in arrays]

    def __call__(self):
        self._function(*self._buffers)

    def replace(self, index: int, array: np.ndarray):
        """As LibraryCall.replace; an array that may not be written to is copied."""
        self._buffers[index] = hl.Buffer(array if array.flags.writeable else array.copy())


def _name(index):
    return f"training_kernel_{index}"
