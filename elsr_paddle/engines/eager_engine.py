"""Run the Paddle network itself, in float32: slow, and the reference for everything else."""

from __future__ import annotations

from elsr_paddle.engines.engine import tile_within_memory
from elsr_paddle.framework import device_named, on_device
from elsr_paddle.networks.paddle_layer import enlarge, load_model


class EagerBackend:
    """Runs the layer that training sees, then clips and rounds half to even."""

    name = "eager"
    note = "the Paddle network itself"
    most_pixels = 2**18  # of LR; 150 MB of activations at x4

    def __init__(self, trained, threads=None, device=None):
        self.tile_pixels = tile_within_memory(trained.graph, self.most_pixels)
        self.device, self._threads = device_named(device), threads
        with on_device(self.device, threads):
            self._model = load_model(trained)

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        with on_device(self.device, self._threads):
            return enlarge(self._model, image)
