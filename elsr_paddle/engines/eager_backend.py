"""The Paddle network itself, in float32: slow, and the reference for everything else."""

from __future__ import annotations

import numpy as np

from elsr_paddle.graph import build_graph


class EagerBackend:
    """Runs the `nn.Layer` of `models/` as training sees it, then clips and rounds half to even."""

    name = "eager"
    note = "the Paddle network itself"
    tile_pixels = 2**18  # of LR; 150 MB of activations at x4

    def __init__(self, weights, metadata, threads=None):
        from elsr_paddle.framework import paddle
        from elsr_paddle.models import build_model, load_arrays

        if threads is not None:
            paddle.base.core.set_num_threads(threads)
        self._paddle = paddle
        self._model = build_model(metadata)
        load_arrays(self._model, weights)
        self._model.eval()
        graph = build_graph(weights, metadata)
        self.scale, self.channels, self.radius = graph.scale, graph.channels, graph.radius

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        tensor = np.float32(image.transpose(2, 0, 1)[None]) / np.float32(255)
        with self._paddle.no_grad():
            output = self._model(self._paddle.to_tensor(tensor)).numpy()
        levels = np.rint(output[0].clip(0, 1) * np.float32(255))
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))
