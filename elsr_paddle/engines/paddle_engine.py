"""Run a network on Paddle Inference: oneDNN on a CPU, CUDA where Paddle has a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from elsr_paddle.engines.engine import available_threads, tile_within_memory
from elsr_paddle.engines.shuffle import shuffle, split_shuffle
from elsr_paddle.framework import device_named, paddle
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.paddle_layer import FUNCTIONS
from elsr_paddle.networks.rewrites import folded, on_levels, raised

F = paddle.nn.functional
GPU_MEMORY = 256  # MB taken at the start


class PaddleBackend:
    """A predictor for all picture sizes; its program is made from the graph, on levels 0..255.

    The output is raised by a half, so that the cast to uint8, which cuts off, rounds; an operator
    of its own for that would cost a fifth of the time, and `round` would have no oneDNN kernel and
    make it fifty times slower.
    """

    name = "paddle"
    note = "Paddle Inference"
    most_pixels = 2**16  # of LR: larger ones leave the cache and take twice as long a pixel

    def __init__(self, trained, threads=None, device=None):
        self.tile_pixels = tile_within_memory(trained.graph, self.most_pixels)
        self.device = device_named(device)
        graph, self._scale = split_shuffle(trained.graph)
        program = _Program(raised(graph, 0.5), leave_out=self._scale > 1)
        config = _cpu(threads or available_threads()) if self.device == "cpu" else _gpu(self.device)
        self._predictor = _predictor(program, config)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, image):
        """uint8 (H, W, channels) -> uint8 (scale*H, scale*W, channels)."""
        self._input.copy_from_cpu(image[None])
        self._predictor.run()
        return shuffle(self._output.copy_to_cpu(), self._scale)


class _Program(paddle.nn.Layer):
    """A graph as a Paddle layer: uint8 (1, H, W, C) -> uint8 (1, h, w, values).

    Parameters
    ----------
    graph : Graph on levels
    leave_out : bool, whether its last node, the pixel shuffle, is left to `shuffle`.
    """

    def __init__(self, graph, leave_out):
        super().__init__()
        self.graph = graph
        self._nodes = graph.nodes[1:-1] if leave_out else graph.nodes[1:]
        for number, array in enumerate(graph.arrays.values()):
            value = paddle.nn.initializer.Assign(np.ascontiguousarray(array))
            parameter = self.create_parameter(list(array.shape), default_initializer=value)
            self.add_parameter(f"array_{number}", parameter)
        self._numbers = {name: number for number, name in enumerate(graph.arrays)}

    def _array(self, name):
        return getattr(self, f"array_{self._numbers[name]}")

    def forward(self, lr):
        values = [lr.astype("float32").transpose([0, 3, 1, 2])]
        for node in self._nodes:
            values.append(self._apply(node.op, *(values[source] for source in node.sources)))
        levels = paddle.clip(values[-1], 0.0, 255.0)
        return levels.transpose([0, 2, 3, 1]).astype("uint8")  # in this order: the other is slower

    def _apply(self, op, *given):
        if isinstance(op, ops.Conv):
            return self._convolution(op, *given)
        if isinstance(op, ops.PReLU):
            slopes = self._array(op.weight)
            return F.prelu(*given, slopes)
        if type(op) not in FUNCTIONS:
            raise ops.Unsupported(f"paddle has no {op.title}")
        return FUNCTIONS[type(op)](op, *given)

    def _convolution(self, op, features):
        arrays = [self._array(name) for name in op.parameters()]
        if op.padding == "edge":
            return F.conv2d(F.pad(features, [op.reach] * 4, "replicate"), *arrays)
        return F.conv2d(features, *arrays, padding=op.reach)


def _predictor(program, configure):
    """Paddle builds predictors from files only (from memory it crashes): the files are ours, and
    gone when it is built."""
    with tempfile.TemporaryDirectory(prefix="elsr_paddle_") as folder:
        return _load(*_save(program, Path(folder, "network")), configure)


def _save(program, prefix, size=None):
    """Write a program; the paths of its two files."""
    program.eval()
    width, height = size or (None, None)
    lr = paddle.static.InputSpec([1, height, width, program.graph.channels], "uint8", "lr")
    paddle.jit.save(program, str(prefix), input_spec=[lr])
    return [prefix.with_name(f"{prefix.name}{suffix}") for suffix in (".json", ".pdiparams")]


def _load(program, weights, configure):
    config = paddle.inference.Config(str(program), str(weights))
    config.disable_glog_info()
    config.enable_new_ir(True)
    config.enable_new_executor(True)
    config.enable_memory_optim()
    configure(config)
    return paddle.inference.create_predictor(config)


def save_program(graph: Graph, prefix: Path, size: tuple[int, int] | None = None) -> list[Path]:
    """Write a network as an inference program from picture to picture, for other programs.

    Parameters
    ----------
    graph : Graph with arrays
    prefix : Path of the files without their suffixes
    size : (int, int) or None, width and height of the only picture it takes; None for any.

    Returns
    -------
    list of Path: the program (.json), its weights (.pdiparams). Input `lr` uint8 (1, H, W, C),
    output uint8 (1, s*H, s*W, C).
    """
    graph = raised(on_levels(folded(graph)), 0.5)
    with paddle.utils.unique_name.guard():
        return _save(_Program(graph, leave_out=False), prefix, size)


def load_program(program: Path, weights: Path):
    """A predictor on the CPU of what `save_program` wrote."""
    return _load(program, weights, _cpu(available_threads()))


def _cpu(threads):
    def configure(config):
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)

    return configure


def _gpu(device):
    number = int(device.partition(":")[2] or 0)
    return lambda config: config.enable_use_gpu(GPU_MEMORY, number)
