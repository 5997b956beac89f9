"""Compile Halide kernels into one shared library, or in memory, and call them on numpy arrays."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from importlib import metadata as packages
from pathlib import Path

import halide as hl
import numpy as np

from elsr_paddle.engines.halide_cache import cached_library
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
    in_memory : bool, whether there is no compiler to keep them with: they are then compiled anew in
        every process, and hold Python's lock while they run.
    """

    def __init__(self, kernels: Sequence, plane: Plane):
        self._kernels, self._plane = list(kernels), plane
        self._target = hl.get_host_target()
        self._machine = Machine.of(self._target)
        try:
            path, _ = cached_library(self._key(), self._build)
            self._functions = _load(path, len(self._kernels))
            self.in_memory = False
        except (OSError, RuntimeError, subprocess.SubprocessError):
            self._functions = [self._in_memory(kernel) for kernel in self._kernels]
            self.in_memory = True

    def bind(self, kernel, arrays: Sequence[np.ndarray]):
        """A call of a kernel on arrays, which may be made again and again.

        Parameters
        ----------
        kernel : one of those given
        arrays : float32 arrays, its arguments and then its results, as its docstring lists them.
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
            [packages.version("halide"), self._target.to_string(), *shapes, source]
        )

    def _build(self, path):
        modules = [
            self._pipeline(kernel, outputs).compile_to_module(arguments, _name(index), self._target)
            for index, kernel in enumerate(self._kernels)
            for outputs, arguments in [kernel.define(self._plane, self._machine)]
        ]
        module = hl.link_modules("kernels", modules)
        module.compile({hl.OutputFileType.object: str(path)})

    def _in_memory(self, kernel):
        outputs, arguments = kernel.define(self._plane, self._machine)
        return hl.Pipeline(outputs).compile_to_callable(arguments, self._target)
