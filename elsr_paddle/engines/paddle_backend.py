"""Runs the network on Paddle Inference: oneDNN on a CPU, CUDA where Paddle has a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.engines.shuffle import shuffle
from elsr_paddle.framework import paddle
from elsr_paddle.graph import INPUT, Conv, PReLU, build_graph

F = paddle.nn.functional
GPU_MEMORY = 256  # MB taken at the start


class PaddleBackend:
    """A predictor for all picture sizes; its program is made from the graph, on levels 0..255.

    The last convolution's bias is raised by a half, so that the cast to uint8, which cuts off,
    rounds; an operator of its own for that would cost a fifth of the time, and `round` would
    have no oneDNN kernel and make it fifty times slower.
    """

    name = "paddle"
    note = "Paddle Inference"
    tile_pixels = 2**16  # of LR: larger ones leave the cache and take twice as long a pixel

    def __init__(self, weights, metadata, threads=None):
        graph = build_graph(weights, metadata)
        self.scale, self.channels, self.radius = graph.scale, graph.channels, graph.radius
        program = _Program(graph.on_levels().interleaved().raised(0.5))
        self._predictor = _predictor(program, threads or available_threads())
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        self._input.copy_from_cpu(image[None])
        self._predictor.run()
        return shuffle(self._output.copy_to_cpu(), self.scale)


class _Program(paddle.nn.Layer):
    """A graph as a Paddle layer: uint8 (1, H, W, C) -> uint8 (1, H, W, scale*scale*C)."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        for index, layer in enumerate(graph.layers):
            if isinstance(layer, Conv):
                self._keep(f"kernel_{index}", layer.kernel)
                self._keep(f"bias_{index}", layer.bias)
            elif isinstance(layer, PReLU):
                self._keep(f"slopes_{index}", layer.slopes)

    def _keep(self, name, array):
        value = paddle.nn.initializer.Assign(np.ascontiguousarray(array))
        self.add_parameter(
            name, self.create_parameter(list(array.shape), default_initializer=value)
        )

    def forward(self, lr):
        values = {INPUT: lr.astype("float32").transpose([0, 3, 1, 2])}
        for index, layer in enumerate(self.graph.layers[:-1]):
            values[index] = self._apply(index, layer, values)
        levels = paddle.clip(values[len(self.graph.layers) - 2], 0.0, 255.0)
        return levels.transpose([0, 2, 3, 1]).astype("uint8")  # in this order: the other is slower

    def _apply(self, index, layer, values):
        source = values[layer.source]
        if isinstance(layer, Conv):
            kernel, bias = getattr(self, f"kernel_{index}"), getattr(self, f"bias_{index}")
            padding = [side // 2 for side in layer.kernel.shape[2:]]
            return F.conv2d(source, kernel, bias, padding=padding)
        if isinstance(layer, PReLU):
            return F.prelu(source, getattr(self, f"slopes_{index}"))
        return source + values[layer.other]


def _predictor(program, threads):
    """Paddle builds predictors from files only (from memory it crashes): the files are ours, and
    gone when it is built."""
    program.eval()
    lr = paddle.static.InputSpec([1, None, None, program.graph.channels], "uint8", "lr")
    with tempfile.TemporaryDirectory(prefix="elsr_paddle_") as folder:
        prefix = str(Path(folder, "network"))
        paddle.jit.save(program, prefix, input_spec=[lr])
        return paddle.inference.create_predictor(_config(prefix, threads))


def _config(prefix, threads):
    config = paddle.inference.Config(f"{prefix}.json", f"{prefix}.pdiparams")
    config.disable_glog_info()
    config.enable_new_ir(True)
    config.enable_new_executor(True)
    config.enable_memory_optim()
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        config.enable_use_gpu(GPU_MEMORY, 0)
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    return config
