"""Run a network on ONNX Runtime, for machines without Halide and OpenVINO."""

from __future__ import annotations

from elsr_paddle.engines.engine import available_threads, tile_within_memory
from elsr_paddle.engines.onnx_model import picture_model
from elsr_paddle.errors import needs

onnxruntime = needs("onnxruntime", "onnx")


class ONNXRuntimeBackend:
    """One session for all picture sizes, on the CPU."""

    name = "onnxruntime"
    device = "cpu"
    note = "ONNX Runtime"
    most_pixels = 2**16  # of LR: larger ones leave the cache and take longer a pixel

    def __init__(self, trained, threads=None):
        self.tile_pixels = tile_within_memory(trained.graph, self.most_pixels)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_threads()
        self._model = picture_model(trained.graph)
        self._session = onnxruntime.InferenceSession(
            self._model.serialized, options, providers=["CPUExecutionProvider"]
        )

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        (pixels,) = self._session.run(["sr"], {"lr": image[None]})
        return self._model.picture(pixels)
