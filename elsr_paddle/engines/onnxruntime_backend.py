"""Runs the network on ONNX Runtime, for machines without Halide and OpenVINO."""

from __future__ import annotations

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.engines.onnx_graph import uint8_model
from elsr_paddle.engines.shuffle import shuffle
from elsr_paddle.errors import InputError
from elsr_paddle.graph import build_graph

try:
    import onnxruntime
except ModuleNotFoundError as error:
    if error.name != "onnxruntime":
        raise
    raise InputError(
        "ONNX Runtime is not installed: `pip install 'elsr-paddle[onnx]'` brings it"
    ) from error


class ONNXRuntimeBackend:
    """One session for all picture sizes, on the CPU."""

    name = "onnxruntime"
    note = "ONNX Runtime"
    tile_pixels = 2**16  # of LR: larger ones leave the cache and take longer a pixel

    def __init__(self, weights, metadata, threads=None):
        graph = build_graph(weights, metadata)
        self.scale, self.channels, self.radius = graph.scale, graph.channels, graph.radius
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_threads()
        model = uint8_model(graph, picture=False).SerializeToString()
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        (pixels,) = self._session.run(["sr"], {"lr": image[None]})
        return shuffle(pixels, self.scale)
