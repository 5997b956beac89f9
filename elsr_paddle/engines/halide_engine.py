"""Run the fused Halide kernel: from the cache of compiled kernels, or compiled in memory."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata as packages
from pathlib import Path

import numpy as np

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.engines.halide_buffer import Buffer, check, load_functions
from elsr_paddle.engines.halide_cache import cached_library, is_cached, linker
from elsr_paddle.errors import needs
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.rewrites import at_lr, folded, interleaved, luma_alone, on_levels, raised

hl = needs("halide")

from elsr_paddle.engines.halide_by_luma import ByLuma  # noqa: E402 - needs Halide
from elsr_paddle.engines.halide_kernel import Kernel, pack_parameters  # noqa: E402 - needs Halide

FUNCTION = "elsr_upscale"
# Not kept for the next process, for want of a C compiler or of a private folder.
IN_MEMORY = ("kernel compiled in memory for 3 s at every start (with gcc or clang and a folder for "
             "it the next start would find it)")
MAX_TILE_PAIRS = 384  # of LR pixels; a few rows of `elsr`'s layers then take some 600 KB
MIN_STRIPE_LINES = 4  # of two LR rows; each stripe computes `radius` rows at its edges again


class HalideBackend:
    """The fused kernel. Calls release the GIL, unless the kernel was compiled in memory.

    Parameters
    ----------
    trained : Trained
    threads : int or None; a picture is cut into as many stripes, computed at the same time.
    """

    name = "halide"
    device = "cpu"
    tile_pixels = 2**26  # of LR; a Halide buffer holds at most 2**31 bytes

    def __init__(self, trained, threads=None):
        self._graph = _prepared(trained.graph)
        self._scale = self._graph.scale
        self._threads = threads or available_threads()
        self._picture = _Program(interleaved(self._graph), self._threads)
        self.note = self._picture.note

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        return self._picture.run(image)

    def luma(self, weights):
        """As `Engine.luma`; None too where every process would compile a second kernel anew."""
        graph = luma_alone(self._graph, weights)
        if graph is None or self.note == IN_MEMORY:
            return None
        plane = _Program(graph, self._threads)
        return lambda image: plane.run(image)[:, :, 0]

    @cached_property
    def upscale_by_luma(self):
        """As `imaging.luma.upscale_by_luma`; made when the first colour picture comes."""
        return ByLuma(self._scale, self._threads)


def compiles_at_every_start(trained):
    """Whether each process compiles the kernel anew, for want of a C compiler to keep it with."""
    graph = _picture_to_picture(trained.graph)
    return linker() is None and not is_cached(_key(graph, hl.get_host_target()))


@dataclass(frozen=True, eq=False)
class LibraryCall:
    """How the kernel of a static library is called, whose arguments `halide_kernel.Kernel` tells.

    Attributes
    ----------
    parameters : float32 array, the second argument
    block_pairs, words, word_type : as those of the Kernel
    margin_pairs : int, pairs beside a tile on which its output depends
    tile_pairs, stripe_lines : int, the largest tile and the thinnest stripe that pay
    """

    parameters: np.ndarray
    block_pairs: int
    words: int
    word_type: np.dtype
    margin_pairs: int
    tile_pairs: int = MAX_TILE_PAIRS
    stripe_lines: int = MIN_STRIPE_LINES


def static_library(graph: Graph, target: str, prefix: Path, function: str) -> LibraryCall:
    """Compile a network's kernel, picture to picture, for another program.

    Parameters
    ----------
    graph : Graph with arrays
    target : str, the machine as Halide names it, such as "arm-64-android"
    prefix : Path; gets the suffix .a (with Halide's runtime) and .h
    function : str, the name of the kernel in C
    """
    graph = _picture_to_picture(graph)
    machine = hl.Target(target)
    kernel = Kernel(graph, machine)
    kernel.output.compile_to_static_library(str(prefix), kernel.arguments, function, machine)
    return LibraryCall(pack_parameters(graph), kernel.block_pairs, kernel.words, kernel.word_type,
                       margin_pairs(graph))


def _prepared(graph):
    return on_levels(at_lr(folded(graph)))


def _picture_to_picture(graph):
    """The graph as its kernel computes it: 0.5 rounds the levels, which are cut to whole ones."""
    return raised(interleaved(_prepared(graph)), 0.5)


def margin_pairs(graph: Graph) -> int:
    """Pairs of columns beside a tile on which its output depends."""
    return -(-graph.radius // 2)


class _Program:
    """A compiled graph and its weights.

    A picture is cut into tiles of columns, so that a few rows of all layers stay in the cache, and
    each tile into `threads` stripes.
    """

    def __init__(self, graph, threads):
        graph = raised(graph, 0.5)
        self._threads = threads
        self._parameters = pack_parameters(graph)
        target = hl.get_host_target()
        kernel = Kernel(graph, target)
        self._scale, self._channels = graph.scale, graph.widths[-1]
        self._words, self._word_type = kernel.words, kernel.word_type
        self._block_pairs, self._margin = kernel.block_pairs, margin_pairs(graph)
        self._call, self.note = _compiled(kernel, graph, target)

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        height, width = image.shape[:2]
        pairs = max(-(-width // 2), self._block_pairs)
        lines = -(-height // 2)
        output = np.empty((2 * lines, self._scale, pairs, self._words), self._word_type)
        stripe_lines = max(-(-lines // self._threads), min(lines, MIN_STRIPE_LINES))
        tile = self._tile_pairs(pairs)
        for start in range(0, pairs, tile):
            start = min(start, pairs - tile)  # the last tile is as wide as the others
            left = max(start - self._margin, 0)
            self._call(image[:, 2 * left:2 * (start + tile + self._margin)], self._parameters,
                       stripe_lines, output[:, :, start:start + tile], start - left)
        rows = output.view(np.uint8).reshape(2 * lines * self._scale, -1, self._channels)
        return rows[:self._scale * height, :self._scale * width]

    def _tile_pairs(self, pairs):
        """Equal tiles of whole blocks, so that little is computed twice where they meet."""
        tiles = -(-pairs // MAX_TILE_PAIRS)
        return min(pairs, -(-pairs // (tiles * self._block_pairs)) * self._block_pairs)


def _compiled(kernel, graph, target):
    """A function (image, parameters, stripe_lines, output, first), the last being the pair of the
    image that the output begins with, and a word on the function's origin."""

    def build(path):
        kernel.output.compile_to_object(str(path), kernel.arguments, FUNCTION, target)

    try:
        path, was_cached = cached_library(_key(graph, target), build)
        function = _Library(path)
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return _in_memory(kernel, target), IN_MEMORY
    return function, "kernel from the cache" if was_cached else "kernel compiled and cached"


def _key(graph, target):
    """All that a compiled kernel depends on."""
    source = Path(__file__).with_name("halide_kernel.py").read_text(encoding="utf-8")
    return "\n".join([packages.version("halide"), target.to_string(), graph.shape_key(), source])


def _in_memory(kernel, target):
    compiled = kernel.output.compile_to_callable(kernel.arguments, target)

    def call(image, parameters, stripe_lines, output, first):
        image = image if image.flags.writeable else image.copy()  # hl.Buffer takes no other
        target_pixels = hl.Buffer(output)
        target_pixels.set_min([0, first, 0, 0])
        compiled(hl.Buffer(image), hl.Buffer(parameters), stripe_lines, target_pixels)

    return call


class _Library:
    """A kernel loaded from a shared library; ctypes releases the GIL while it runs."""

    def __init__(self, path):
        (self._function,) = load_functions(path, [FUNCTION])

    def __call__(self, image, parameters, stripe_lines, output, first):
        buffers = [Buffer.of(image), Buffer.of(parameters), Buffer.of(output, first)]
        image, parameters, output = map(ctypes.byref, buffers)
        check(self._function(image, parameters, stripe_lines, output))
