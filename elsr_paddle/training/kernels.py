"""Train with compiled kernels in place of Paddle's forward and backward pass.

Paddle stays the owner of every parameter, gradient and moment: numpy looks at their memory. Linear
blocks are collapsed here, in numpy, as is the average of weights: of a small network, Paddle's own
handling of some tens of tensors would take as long as the kernels.
"""

from __future__ import annotations

import os

import numpy as np

from elsr_paddle.engines.engine import available_threads
from elsr_paddle.errors import InputError
from elsr_paddle.framework import THREADS_ASKED_FOR, mean_over_processes, paddle
from elsr_paddle.networks.linear_block import EDGES, EdgeBlock, LinearBlock
from elsr_paddle.networks.paddle_layer import PaddleNetwork
from elsr_paddle.training.run import Run

# Multiply-adds. OpenBLAS shares larger products among threads, which takes longer than the product
# where the cores have other work.
MOST_OF_A_PRODUCT = 2**18
# A run that diverges is told of by who looks at the loss, not by numpy.
quietly = np.errstate(over="ignore", invalid="ignore")


def compiled_gradients(run: Run, model: PaddleNetwork) -> tuple[CompiledGradients | None, str]:
    """The compiled gradients of a network, or None where Paddle is to compute them.

    Parameters
    ----------
    run : Run, of which stage, mixed precision and kernels count
    model : PaddleNetwork that is trained

    Returns
    -------
    (CompiledGradients or None, str): and why, or where the kernels come from

    Raises
    ------
    InputError if `run` asks for compiled kernels and cannot have them.
    """
    if run.kernels == "paddle":
        return None, "as asked for"
    try:
        step = _make_step(run, model)
    except InputError as error:
        if run.kernels == "halide":
            raise
        return None, str(error)
    # Adam is all that is left to Paddle. More threads of its own would take longer, and would go on
    # waiting for work on the cores that the kernels need.
    paddle.base.core.set_num_threads(1)
    return CompiledGradients(model, step), f"{step.note}; threads: {step.threads}"


def _make_step(run, model):
    if run.amp or paddle.device.get_device() != "cpu":
        raise InputError("compiled kernels train on a CPU and without --amp")
    if run.stage.in_turn:
        raise InputError("compiled kernels train one scale")
    from elsr_paddle.training.halide_step import HalideStep  # needs Halide

    stage = run.stage
    patch = stage.hr_patch // stage.scale
    return HalideStep(
        model.network.graph, stage.batch_size, patch, patch, stage.loss, threads=_threads()
    )


def _threads():
    """The cores this process may use, or fewer where OMP_NUM_THREADS says so.

    Processes that Paddle's launcher started on one machine share its cores.
    """
    wanted = THREADS_ASKED_FOR
    cores = max(1, available_threads() // int(os.environ.get("PADDLE_LOCAL_SIZE", 1)))
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) else cores


class CompiledGradients:
    """Loss and gradients of a network that is trained.

    Parameters
    ----------
    model : PaddleNetwork
    step : HalideStep for its graph
    """

    def __init__(self, model: PaddleNetwork, step):
        self._step = step
        layers = dict(model.named_children())
        self._parts = [
            _part(node.op, layers[node.op.name])
            for node in model.network.graph.nodes if node.op.parameters()
        ]

    @quietly
    def __call__(self, lr: np.ndarray, hr: np.ndarray) -> paddle.Tensor:
        """Set the gradient of every parameter of the model, as `backward` of the loss would.

        Both are means over all processes, each of which has its own share of the batch.

        Parameters
        ----------
        lr, hr : uint8 (N, h, w, 3) and (N, s*h, s*w, 3), RGB

        Returns
        -------
        float32 tensor, the loss
        """
        loss, gradients = _all_reduced(*self._step.gradients(self.effective(), lr, hr))
        for part in self._parts:
            part.pass_back(gradients)
        return paddle.full([], loss, "float32")

    @quietly
    def effective(self) -> dict[str, np.ndarray]:
        """The plain network's parameters, linear blocks collapsed; to be read only."""
        return {name: array for part in self._parts for name, array in part.effective().items()}


def _all_reduced(loss, gradients):
    """Loss and gradients, averaged in one message: those of the plain network are its smallest."""
    if paddle.distributed.get_world_size() == 1:
        return loss, gradients
    pieces = [np.float32([loss]), *(gradient.ravel() for gradient in gradients.values())]
    means = mean_over_processes(paddle.to_tensor(np.concatenate(pieces))).numpy()
    first, *rest = np.split(means, np.cumsum([piece.size for piece in pieces[:-1]]))
    shaped = {name: mean.reshape(gradient.shape)
              for (name, gradient), mean in zip(gradients.items(), rest)}
    return float(first[0]), shaped


class Average:
    """Averaged weights of a trained network.

    Parameters
    ----------
    model : PaddleNetwork without linear blocks, that holds them
    """

    def __init__(self, model: PaddleNetwork):
        self._tensors = {name: _Shared(tensor) for name, tensor in model.plain()}

    @quietly
    def update(self, arrays: dict[str, np.ndarray], decay: float) -> None:
        """Keep `decay` of the average, and take the rest from `arrays`."""
        for name, shared in self._tensors.items():
            average, array = shared.array(), arrays[name]
            difference = average - array
            difference *= np.float32(decay)
            np.add(array, difference, out=average)


class _Shared:
    """A tensor whose memory numpy looks at; looked up anew when Paddle has moved it."""

    def __init__(self, tensor):
        self._tensor, self._address, self._gradient_address = tensor, None, None

    def array(self):
        """The tensor's values."""
        if self._address != self._tensor.data_ptr():
            self._address = self._tensor.data_ptr()
            self._array = np.from_dlpack(self._tensor.detach())
        return self._array

    def gradient(self):
        """The values of its gradient."""
        gradient = self._tensor.grad
        if gradient is None:
            self._tensor.grad = paddle.zeros_like(self._tensor)
            gradient = self._tensor.grad
        if self._gradient_address != gradient.data_ptr():
            self._gradient_address = gradient.data_ptr()
            self._gradient = np.from_dlpack(gradient.detach())
        return self._gradient


class _Plain:
    """A layer whose parameters are those of the plain network.

    Parameters
    ----------
    names : of its parameters in the plain network
    tensors : its parameters
    """

    def __init__(self, names, tensors):
        self._shared = {name: _Shared(tensor) for name, tensor in zip(names, tensors)}

    def effective(self):
        return {name: shared.array() for name, shared in self._shared.items()}

    def pass_back(self, gradients):
        """Set the gradient of every parameter."""
        for name, shared in self._shared.items():
            np.copyto(shared.gradient(), gradients[name])


class _Block:
    """A linear block: kernel = squeeze x expand + skip.

    Parameters
    ----------
    names : of weight and bias in the plain network
    layer : LinearBlock
    """

    def __init__(self, names, layer):
        self._weight, self._bias_name = names
        self._bias = _Plain([self._bias_name], [layer.bias])
        self._squeeze, self._expand, self._skip = map(
            _Shared, (layer.squeeze, layer.expand, layer.skip)
        )

    def effective(self):
        squeeze, skip = self._squeeze.array(), self._skip.array()
        expand = self._expand.array()
        # (out, e) x (e, in * k * k)
        wide = _multiply(squeeze, expand.reshape(len(expand), -1), np.empty_like(skip))
        wide += skip
        return {self._weight: wide, **self._bias.effective()}

    def pass_back(self, gradients):
        """Set the gradient of every parameter."""
        squeeze, expand = self._squeeze.array(), self._expand.array()
        gradient = gradients[self._weight]
        rows = gradient.reshape(len(gradient), -1)  # (out, in * k * k)
        np.copyto(self._skip.gradient(), gradient)
        _multiply(rows, expand.reshape(len(expand), -1).T, self._squeeze.gradient())
        _multiply(squeeze.T, rows, self._expand.gradient())
        self._bias.pass_back(gradients)


class _EdgeBlock(_Block):
    """An edge-oriented block: the linear one's kernel + scale * inner x edges.

    Parameters
    ----------
    names, layer : as for `_Block`, of an EdgeBlock
    """

    def __init__(self, names, layer):
        super().__init__(names, layer)
        self._inner, self._scale = map(_Shared, (layer.edge_inner, layer.edge_scale))

    def effective(self):
        found = super().effective()
        inner = self._scale.array()[..., None] * self._inner.array()  # (3, out, in)
        found[self._weight] += np.tensordot(inner, EDGES, ([0], [0]))
        return found

    def pass_back(self, gradients):
        """Set the gradient of every parameter."""
        super().pass_back(gradients)
        through = np.tensordot(EDGES, gradients[self._weight], ([1, 2], [2, 3]))  # (3, out, in)
        np.multiply(through, self._scale.array()[..., None], out=self._inner.gradient())
        np.copyto(self._scale.gradient(), (through * self._inner.array()).sum(2))


def _multiply(left, right, result):
    """Write the product of two matrices into memory of any shape, and give it."""
    product = result.reshape(len(left), -1)
    columns = max(1, MOST_OF_A_PRODUCT // left.size)
    for first in range(0, right.shape[1], columns):
        part = slice(first, first + columns)
        np.matmul(left, right[:, part], out=product[:, part])
    return result


def _part(op, layer):
    names = list(op.parameters())
    if isinstance(layer, LinearBlock):
        return (_EdgeBlock if isinstance(layer, EdgeBlock) else _Block)(names, layer)
    tensors = [layer._weight] if hasattr(layer, "_weight") else [layer.weight, layer.bias]
    return _Plain(names, tensors)
