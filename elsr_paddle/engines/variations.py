"""Run an engine several times for one picture: turned and mirrored, or on its own output."""

from __future__ import annotations

import numpy as np

_PICTURES = 8  # four turns, each mirrored or not


class SelfEnsemble:
    """A backend whose picture is the mean of those of the eight turned and mirrored pictures.

    It costs eight times as much, and steadies what a network guesses. It has no planes of video of
    its own. Source: arXiv 1707.02921.
    """

    def __init__(self, backend):
        self._backend = backend
        self.name, self.device = backend.name, backend.device
        self.note = f"{backend.note}, eight times for a picture"
        self.tile_pixels = backend.tile_pixels

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        total = 0
        for turns in range(4):
            for step in (1, -1):
                given = np.ascontiguousarray(np.rot90(image, turns)[:, ::step])
                total = total + np.rot90(self._backend.run(given)[:, ::step].astype(np.uint16),
                                         -turns)
        return ((total + _PICTURES // 2) // _PICTURES).astype(np.uint8)


class Passes:
    """An engine that enlarges what it has enlarged: x2 twice is x4.

    Parameters
    ----------
    engine : Engine
    count : int, passes

    Attributes
    ----------
    as those of `Engine`; `scale` is that of all passes.
    """

    def __init__(self, engine, count):
        self._engine, self._count = engine, count
        self.name, self.device, self.model_name = engine.name, engine.device, engine.model_name
        self.reason, self.channels = engine.reason, engine.channels
        self.degradation = engine.degradation
        self.max_pixels = engine.max_pixels
        self.fingerprint = f"{engine.fingerprint}-{count}"
        self.scale = engine.scale**count

    def upscale(self, image):
        """As `Engine.upscale`."""
        return self._repeated(self._engine.upscale, image)

    def upscale_plane(self, plane):
        """As `Engine.upscale_plane`."""
        return self._repeated(self._engine.upscale_plane, plane)

    def luma(self, weights):
        """None: there is RGB between the passes."""
        return

    def _repeated(self, run, given):
        for _ in range(self._count):
            given = run(given)
        return given
