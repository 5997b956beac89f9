"""Bring a picture to the size that was asked for: which network, and what comes after it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks.zoo import DEBLOCKED

# 8-bit passes for a picture of 16 bits: their mean tells 16 * 255 levels apart, twelve bits.
DEEP_PASSES = 16

_STEP = 65535 // 255  # 16-bit levels in one 8-bit level


@dataclass(frozen=True)
class Target:
    """How large an output shall be: exactly one of the three is set.

    Attributes
    ----------
    scale : float, output pixels for each input pixel, or None
    size : (width, height) in pixels, reached exactly, even where it changes the shape; or None
    fit : (width, height) of a box that the output fills as far as its shape allows; or None
    """

    scale: float | None = None
    size: tuple[int, int] | None = None
    fit: tuple[int, int] | None = None

    def output_size(self, height, width):
        """(height, width) of the output for an input of `height` x `width` pixels."""
        if self.size:
            return self.size[1], self.size[0]
        factor = self.scale or min(self.fit[0] / width, self.fit[1] / height)
        return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True)
class Plan:
    """What happens to pictures of one size.

    Attributes
    ----------
    network : int, scale of the network; 1 for none, when the output is no larger than the input.
    height, width : int, of the output, which a bicubic that antialiases reaches from there.
    """

    network: int
    height: int
    width: int


class Upscaler:
    """Networks for some scales, and the size that is wanted.

    Parameters
    ----------
    load : callable, int scale -> engine; called once for each scale that is needed.
    scales : iterable of int, the scales that `load` knows.
    target : Target
    max_pixels : int, largest picture that is made on the way to an output.
    """

    def __init__(self, load, scales, target, max_pixels):
        self._load = load
        self._scales = sorted(scales)
        self._target = target
        self._max_pixels = max_pixels
        self._engines = {}
        # Several pictures are read and written at once, but one at a time has all the cores here.
        self._lock = threading.RLock()

    def plan(self, height, width):
        """Choose the network for pictures of `height` x `width`: the next larger one.

        Raises
        ------
        InputError if no network goes so far, or the picture it makes would be too large.
        """
        size = self._target.output_size(height, width)
        needed = max(size[0] / height, size[1] / width)
        # A half pixel of rounding must not call for the next network: 7 pixels x1.5 are 10.
        enough = [scale for scale in (1, *self._scales)
                  if scale * height + 0.5 >= size[0] and scale * width + 0.5 >= size[1]]
        if not enough:
            raise InputError(
                f"{width}x{height} to {size[1]}x{size[0]} is x{needed:.3g} but the largest network "
                f"is x{self._scales[-1]}; ask for less, or upscale the result once more"
            )
        self.check_pixels(enough[0] * height * enough[0] * width)
        return Plan(enough[0], *size)

    def check_pixels(self, pixels):
        """Raise InputError if that many pixels are more than may be held at once."""
        if pixels > self._max_pixels:
            raise InputError(
                f"the output would have {pixels:,} pixels but the limit is {self._max_pixels:,}; "
                "if you trust the file and have the memory, raise it with --max-pixels"
            )

    def engine(self, scale):
        """The engine for one of the scales; loaded when first asked for."""
        with self._lock:
            if scale not in self._engines:
                self._engines[scale] = self._load(scale)
            return self._engines[scale]

    def deblocks(self, height, width):
        """Whether the network for pictures of `height` x `width` takes a JPEG deblocked.

        Those for JPEGs and other compressed sources do: they gain by it, see `imaging.jpeg`.

        Raises
        ------
        InputError as `plan`.
        """
        scale = self.plan(height, width).network
        return scale > 1 and self.engine(scale).degradation in DEBLOCKED

    def upscale(self, image):
        """Bring a picture to its size.

        Parameters
        ----------
        image : uint8 or uint16 array, shape (H, W, 3), RGB, or (H, W), gray; the full range of its
            type. 16 bits pass the 8-bit network several times, see `upscale_deep`.

        Returns
        -------
        array of the same type and kind, of the planned size.
        """
        plan = self.plan(*image.shape[:2])
        if image.dtype == np.uint16:
            return upscale_deep(lambda shallow: self._carry_out(plan, shallow), image, DEEP_PASSES)
        return self._carry_out(plan, image)

    def _carry_out(self, plan, image):
        enlarged = image
        if plan.network > 1:
            with self._lock:
                enlarged = run_network(self.engine(plan.network), image)
        if enlarged.shape[:2] == (plan.height, plan.width):
            return enlarged
        return imresize(enlarged, size=(plan.height, plan.width))


def run_network(engine, image):
    """Enlarge a gray or colour image by a network on RGB or on luma.

    Parameters
    ----------
    engine : Engine
    image : uint8 array, shape (H, W, 3), RGB, or (H, W), gray

    Returns
    -------
    uint8 array of the same kind, `engine.scale` times as high and wide.
    """
    if image.ndim == 3:
        return engine.upscale(image)
    if engine.channels == 1:
        return engine.upscale_plane(image)
    colour = engine.upscale(np.repeat(image[..., None], 3, axis=2))
    return rgb_to_luma(colour)


def upscale_deep(upscale, image, passes):
    """A picture of more than 8 bits through a function on 8: the mean of dithered passes.

    Each pass rounds the input down after adding another offset, spread evenly over one 8-bit
    level, so the mean of what goes in is the deep picture itself, to 1 / passes of a level.

    Parameters
    ----------
    upscale : callable, uint8 image -> uint8 image
    image : uint16 array, range [0, 65535]
    passes : int, 4 for 10 bits, 16 for 12

    Returns
    -------
    uint16 array, range [0, 65535]
    """
    total = 0
    for number in range(passes):
        offset = (2 * number + 1) * _STEP // (2 * passes)
        shallow = ((image.astype(np.uint32) + offset) // _STEP).astype(np.uint8)
        total = total + upscale(shallow).astype(np.uint32)
    return ((total * _STEP + passes // 2) // passes).astype(np.uint16)


def compare(bicubic, ours, layout, line=None):
    """Put bicubic (left) beside ours.

    Parameters
    ----------
    bicubic, ours : arrays of one shape, (H, W) or (H, W, C)
    layout : str, "split": the left half of the one and the right half of the other, one picture
        with a line between; "side": both whole, twice as wide.
    line : int, level of that line; None: white.

    Returns
    -------
    array of the same type
    """
    if layout == "side":
        return np.concatenate([bicubic, ours], axis=1)
    middle = ours.shape[1] // 2
    both = np.concatenate([bicubic[:, :middle], ours[:, middle:]], axis=1)
    both[:, middle - 1:middle + 1] = np.iinfo(ours.dtype).max if line is None else line
    return both
