"""Run a network on OpenVINO, for machines without Halide wheels."""

from __future__ import annotations

from collections import OrderedDict

from elsr_paddle.engines.engine import available_threads, tile_within_memory
from elsr_paddle.engines.onnx_model import picture_model
from elsr_paddle.errors import needs

openvino = needs("openvino", "openvino")

SIZES_KEPT = 4  # compiled models kept at a time; one takes 15-30 ms to compile


class OpenVINOBackend:
    """A model compiled for each picture size: twice as fast as one for all sizes."""

    name = "openvino"
    device = "cpu"
    note = "OpenVINO"
    most_pixels = 2**16  # of LR: larger ones leave the cache and take longer a pixel

    def __init__(self, trained, threads=None):
        self.tile_pixels = tile_within_memory(trained.graph, self.most_pixels)
        self._model = picture_model(trained.graph)
        self._core = openvino.Core()
        self._options = {
            "INFERENCE_NUM_THREADS": threads or available_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 where a CPU has it
        }
        self._requests = OrderedDict()

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        request = self._request(image.shape)
        request.infer([image[None]], share_inputs=True, share_outputs=True)
        return self._model.picture(request.get_output_tensor().data)

    def _request(self, shape):
        if shape not in self._requests:
            model = self._core.read_model(self._model.serialized)
            model.reshape([1, *shape])
            compiled = self._core.compile_model(model, "CPU", self._options)
            self._requests[shape] = compiled.create_infer_request()
        self._requests.move_to_end(shape)
        if len(self._requests) > SIZES_KEPT:
            self._requests.popitem(last=False)
        return self._requests[shape]
