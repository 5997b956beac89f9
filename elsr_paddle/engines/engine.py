"""Check pictures, limit their size and cut large ones into tiles, for every engine."""

from __future__ import annotations

import ctypes
import math
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.colour_spaces import COLOUR_SPACES
from elsr_paddle.networks.weights import fingerprint

MAX_PIXELS = 2**28  # of the output: 16384 x 16384, 805 MB as RGB
LARGEST_FEATURES = 2**27  # values of the widest features of a tile: 512 MiB
LARGEST_KEPT = 64 * 2**20  # bytes of a block of memory that is kept when it is freed


@dataclass(frozen=True)
class EngineOptions:
    """How a trained network shall be run.

    Attributes
    ----------
    engine : str, a name in `choose.ENGINES`, or "auto": the fastest that is installed and works
    device : str, "cpu", "gpu" or "gpu:1"; None leaves it to the engine.
    threads : int or None, for all cores
    max_pixels : int, largest output in pixels; a larger one is refused.
    pixels : int or None, how many LR pixels there are to enlarge in all, if that is known: what
        pays for a film does not for a photo.
    colour_space : str, in which a network on luma enlarges colours, of `COLOUR_SPACES`
    self_ensemble : bool, whether the picture is the mean of eight, turned and mirrored
    passes : int, how often the network enlarges its own output
    strength : float, share of the network in the picture, 0 to 1; the rest is bicubic.
    """

    engine: str = "auto"
    device: str | None = None
    threads: int | None = None
    max_pixels: int = MAX_PIXELS
    pixels: int | None = None
    colour_space: str = "ycbcr"
    self_ensemble: bool = False
    passes: int = 1
    strength: float = 1.0


class Engine:
    """A trained network, ready to enlarge pictures, one call at a time.

    Parameters
    ----------
    backend : object with `name`, `device`, `tile_pixels` (LR pixels it takes at once) and
        `run(image)`: C-contiguous uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels). It
        may have an `upscale_by_luma` and a `luma` of its own, see `imaging.luma` and below.
    trained : Trained, what the backend runs
    reason : str, one line on why this backend was taken
    max_pixels : int, largest output in pixels
    colour_space : str, in which a network on luma enlarges colours, of `COLOUR_SPACES`

    Attributes
    ----------
    name, device, model_name, reason : str
    degradation : str, how the LR images were made that the network is for
    fingerprint : str, of its weights
    scale : int
    channels : int, 3 for a network on RGB, 1 for one on luma
    max_pixels : int
    """

    def __init__(self, backend, trained, *, reason="", max_pixels=MAX_PIXELS,
                 colour_space="ycbcr"):
        _keep_freed_memory()
        self._backend = backend
        self._radius = trained.graph.radius
        self.name, self.device = backend.name, backend.device
        self.scale, self.channels = trained.scale, trained.channels
        self.model_name, self.degradation = trained.name, trained.degradation
        self.fingerprint = fingerprint(trained.graph.arrays)
        self.reason = reason
        self.max_pixels, self._colour_space = max_pixels, colour_space

    def upscale(self, image):
        """Enlarge a picture by `scale`; a network on luma leaves the colours to bicubic.

        Parameters
        ----------
        image : uint8 array, shape (H, W, 3), RGB, range [0, 255]

        Returns
        -------
        uint8 array, shape (scale*H, scale*W, 3)

        Raises
        ------
        InputError for another type or shape, or an output above `max_pixels`.
        """
        image = self._checked(image, "(H, W, 3)", image.ndim == 3 and image.shape[2] == 3)
        if self.channels == 1:
            by_luma = COLOUR_SPACES[self._colour_space]
            if self._colour_space == "ycbcr":
                by_luma = getattr(self._backend, "upscale_by_luma", by_luma)
            return by_luma(image, self.upscale_plane)
        return self._run(image)

    def upscale_plane(self, plane):
        """Enlarge one plane, such as the luma of a video frame, by `scale`.

        Parameters
        ----------
        plane : uint8 array, shape (H, W), range [0, 255]; any row stride

        Returns
        -------
        uint8 array, shape (scale*H, scale*W)

        Raises
        ------
        InputError for another type or shape, an output above `max_pixels`, or an RGB network.
        """
        if self.channels != 1:
            raise InputError(
                f"expected a luma network but {self.model_name} works on RGB; use upscale()"
            )
        plane = self._checked(plane, "(H, W)", plane.ndim == 2)
        return self._run(plane[:, :, None])[:, :, 0]

    def luma(self, weights):
        """The luma alone of a network on RGB, for backends that know how.

        Parameters
        ----------
        weights : float array (4,), of (R, G, B, 1) in 8-bit levels

        Returns
        -------
        callable, or None: uint8 RGB (H, W, 3) -> uint8 (scale*H, scale*W)
        """
        make = getattr(self._backend, "luma", None)
        run = make(weights) if make else None
        if run is None:
            return None
        return lambda image: run(self._checked(image, "(H, W, 3)", image.ndim == 3))

    def _checked(self, image, expected, shape_fits):
        if image.dtype != np.uint8 or not shape_fits or image.size == 0:
            raise InputError(
                f"expected uint8 {expected}, not empty, but got {image.dtype} {image.shape}"
            )
        pixels = image.shape[0] * image.shape[1] * self.scale**2
        if pixels > self.max_pixels:
            raise InputError(
                f"the output would have {pixels:,} pixels but max_pixels is {self.max_pixels:,}; "
                "raise it if you trust the picture and have the memory"
            )
        return np.ascontiguousarray(image)

    def _run(self, image):
        """The whole picture at once where it is small enough for the backend, else in tiles.

        Tiles overlap by the network's radius on each side and only their inner parts are kept, so
        the result is that of the whole picture; only true borders are padded with zeros.
        """
        height, width, channels = image.shape
        backend, scale, radius = self._backend, self.scale, self._radius
        if height * width <= backend.tile_pixels or radius is None:  # it looks at all of it
            return np.ascontiguousarray(backend.run(image))
        rows, columns = tile_shape(height, width, backend.tile_pixels, radius)
        output = np.empty((scale * height, scale * width, channels), np.uint8)
        for top, bottom, first, last in spans(height, rows, radius):
            for left, right, start, stop in spans(width, columns, radius):
                tile = backend.run(np.ascontiguousarray(image[top:bottom, left:right]))
                inner = tile[
                    scale * (first - top) : scale * (last - top),
                    scale * (start - left) : scale * (stop - left),
                ]
                output[scale * first : scale * last, scale * start : scale * stop] = inner
        return output


def tile_within_memory(graph, pixels):
    """int, LR pixels of a tile: `pixels`, or fewer where a network's features would not fit.

    For engines that hold whole features. Those of EDSR with 256 channels take 16 KiB an LR pixel
    at x4.
    """
    widest = max(graph.widths[index] * graph.resolutions[index] ** 2 for index in graph.live)
    return min(pixels, LARGEST_FEATURES // widest)


def tile_shape(height, width, pixels, radius):
    """Rows and columns of tiles of about `pixels`: stripes of full width unless those get thin.

    Returns
    -------
    (int, int), LR pixels; each the picture's or, below that, even and more than four times the
    radius, so that at most half of the work is thrown away.
    """
    rows, columns = pixels // width, width
    if rows < min(height, 16 * radius):
        rows = columns = math.isqrt(pixels)
    least = 4 * radius + 2
    return min(height, max(rows - rows % 2, least)), min(width, max(columns - columns % 2, least))


def spans(length, size, radius):
    """Cut `length` into pieces that overlap enough for a network of this radius.

    Pieces begin at even places, since a kernel may compute pixels in pairs, whose first and second
    are rounded differently in the last bit.

    Yields
    ------
    (start, stop, first, last): compute start..stop, keep first..last. What is kept of all pieces
    covers 0..length once, and lies `radius` inside its piece except at the ends.
    """
    overlap = radius + radius % 2
    start = first = 0
    while first < length:
        start = max(0, min(start, length - size + (length - size) % 2))
        stop = min(start + size, length)
        last = length if stop == length else stop - overlap
        yield start, stop, first, last
        first, start = last, last - overlap


def available_threads():
    """int, the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache
def _keep_freed_memory():
    """Let the C library keep what a frame frees for the next one.

    glibc hands large freed blocks back to the system, and fetching them again costs page faults: a
    third of what a frame of video takes in the fastest engine, half of what it takes in Paddle's.
    """
    if not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        mallopt(option, LARGEST_KEPT)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of malloc.h
