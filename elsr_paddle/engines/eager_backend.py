"""The Paddle network itself, in float32: slow, and the reference for everything else."""

from __future__ import annotations

from elsr_paddle.graph import build_graph


class EagerBackend:
    """Runs the `nn.Layer` of `models/` as training sees it, then clips and rounds half to even."""

    name = "eager"
    note = "the Paddle network itself"
    tile_pixels = 2**18  # of LR; 150 MB of activations at x4

    def __init__(self, weights, metadata, threads=None):
        from elsr_paddle.framework import paddle
        from elsr_paddle.models import build_model, enlarge, load_arrays

        if threads is not None:
            paddle.base.core.set_num_threads(threads)
        self._enlarge = enlarge
        self._model = build_model(metadata)
        load_arrays(self._model, weights)
        self._model.eval()
        graph = build_graph(weights, metadata)
        self.scale, self.channels, self.radius = graph.scale, graph.channels, graph.radius

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        return self._enlarge(self._model, image)
