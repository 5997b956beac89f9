"""Enlarge colour pictures by their luma with compiled kernels, which one cache keeps for all."""

from __future__ import annotations

import ctypes
import subprocess
from importlib import metadata as packages
from pathlib import Path

import halide as hl
import numpy as np

from elsr_paddle.engines import halide_colour
from elsr_paddle.engines.halide_buffer import Buffer, check, load_functions
from elsr_paddle.engines.halide_cache import cached_library
from elsr_paddle.imaging.luma import upscale_by_luma

_LUMA, _COLOURS = "elsr_luma", "elsr_colours"
_MAX_BYTES = 2**31 - 1  # of a Halide buffer
_BAND_BYTES = 2**30  # of the output that is computed at once
_MIN_STRIPE_ROWS = 4  # each stripe widens four rows at its edges again


class ByLuma:
    """What `imaging.luma.upscale_by_luma` does, within one level, at a fraction of the time.

    The kernels depend on the scale alone, not on the network. Where there is no C compiler to keep
    them with, and for pictures narrower than a vector, numpy does the work.

    Parameters
    ----------
    scale : int
    threads : int, stripes computed at the same time

    Attributes
    ----------
    compiled : bool, whether there are kernels
    """

    def __init__(self, scale: int, threads: int):
        self._scale, self._threads = scale, threads
        self._target = hl.get_host_target()
        self._narrowest = halide_colour.lanes(self._target)
        try:
            path, _ = cached_library(self._key(), self._build)
            self._luma, self._colours = load_functions(path, [_LUMA, _COLOURS])
            self.compiled = True
        except (OSError, RuntimeError, subprocess.SubprocessError):
            self.compiled = False

    def __call__(self, image: np.ndarray, upscale_plane) -> np.ndarray:
        """As `imaging.luma.upscale_by_luma`; the picture is C-contiguous."""
        height, width = image.shape[:2]
        if not self._takes(image):
            return upscale_by_luma(image, upscale_plane)
        small = np.empty((height, width), np.uint8)
        _call(self._luma, image, small)
        large = upscale_plane(small).reshape(height, self._scale, self._scale * width)
        output = np.empty((*large.shape, 3), np.uint8)
        rows = max(1, _BAND_BYTES // output[0].nbytes)
        for first in range(0, height, rows):
            self._add_colours(image, small, large[first:first + rows], first,
                              output[first:first + rows])
        return output.reshape(self._scale * height, self._scale * width, 3)

    def _takes(self, image):
        fits = image.shape[1] >= self._narrowest and image.nbytes <= _MAX_BYTES
        return self.compiled and fits

    def _add_colours(self, image, small, large, first, output):
        rows = len(output)
        stripe_rows = max(-(-rows // self._threads), min(rows, _MIN_STRIPE_ROWS))
        _call(self._colours, image, small, large, first, stripe_rows, output)

    def _key(self):
        """All that the compiled kernels depend on."""
        source = Path(halide_colour.__file__).read_text(encoding="utf-8")
        return "\n".join([packages.version("halide"), self._target.to_string(),
                          f"by luma x{self._scale}", source])

    def _build(self, path):
        kernels = {_LUMA: halide_colour.luma(self._target),
                   _COLOURS: halide_colour.colours(self._scale, self._target)}
        modules = [hl.Pipeline(output).compile_to_module(arguments, name, self._target)
                   for name, (output, arguments) in kernels.items()]
        hl.link_modules("by_luma", modules).compile({hl.OutputFileType.object: str(path)})


def _call(function, *arguments):
    """Run a kernel on arrays and integers; ctypes releases the GIL meanwhile."""
    buffers = [Buffer.of(each) if isinstance(each, np.ndarray) else each for each in arguments]
    check(function(*(ctypes.byref(each) if isinstance(each, Buffer) else each
                     for each in buffers)))
