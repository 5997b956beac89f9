"""Runs the network on OpenVINO, for machines without Halide wheels."""

from __future__ import annotations

from collections import OrderedDict

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.engines.onnx_graph import uint8_model
from elsr_paddle.engines.shuffle import shuffle
from elsr_paddle.errors import InputError
from elsr_paddle.graph import build_graph

try:
    import openvino
except ModuleNotFoundError as error:
    if error.name != "openvino":
        raise
    raise InputError(
        "OpenVINO is not installed: `pip install 'elsr-paddle[openvino]'` brings it"
    ) from error

SIZES_KEPT = 4  # compiled models kept at a time; one takes 15-30 ms to compile


class OpenVINOBackend:
    """A model compiled for each picture size: twice as fast as one for all sizes."""

    name = "openvino"
    note = "OpenVINO"
    tile_pixels = 2**16  # of LR: larger ones leave the cache and take longer a pixel

    def __init__(self, weights, metadata, threads=None):
        graph = build_graph(weights, metadata)
        self.scale, self.channels, self.radius = graph.scale, graph.channels, graph.radius
        self._model = uint8_model(graph, picture=False).SerializeToString()
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
        return shuffle(request.get_output_tensor().data, self.scale)

    def _request(self, shape):
        if shape not in self._requests:
            model = self._core.read_model(self._model)
            model.reshape([1, *shape])
            compiled = self._core.compile_model(model, "CPU", self._options)
            self._requests[shape] = compiled.create_infer_request()
        self._requests.move_to_end(shape)
        if len(self._requests) > SIZES_KEPT:
            self._requests.popitem(last=False)
        return self._requests[shape]
