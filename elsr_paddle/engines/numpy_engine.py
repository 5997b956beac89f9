"""Run a network on numpy alone: what works everywhere, and starts at once."""

from __future__ import annotations

import numpy as np

from elsr_paddle.engines.engine import tile_within_memory
from elsr_paddle.networks.graph import outputs


class NumpyBackend:
    """The reference itself, in float32: each tap of a convolution is a product of matrices."""

    name = "numpy"
    device = "cpu"
    note = "numpy, which starts at once"
    most_pixels = 2**14  # of LR: larger ones leave the cache

    def __init__(self, trained, threads=None):
        self.tile_pixels = tile_within_memory(trained.graph, self.most_pixels)
        self._graph = trained.graph

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        levels = outputs(self._graph, image, np.float32)[-1] * np.float32(255)
        return np.rint(levels.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)
