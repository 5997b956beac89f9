"""Run a network's training step on compiled kernels: its loss, and the gradient of its parameters.

Images are taken a few at a time, so that most of their values stay in the second cache, and each
thread works on images of its own: there is one meeting a step. Every group of images has sums of
its own, which are added in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from elsr_paddle.errors import needs
from elsr_paddle.framework import paddle
from elsr_paddle.networks.graph import Graph

hl = needs("halide")

from elsr_paddle.training.halide_kernels import Conversion, Machine  # noqa: E402 - need Halide
from elsr_paddle.training.halide_library import Library  # noqa: E402
from elsr_paddle.training.halide_plan import Plan  # noqa: E402
from elsr_paddle.training.losses import PSNR  # noqa: E402

GROUP_BYTES = 4_200_000  # of the memory of the images taken together: about twice the cache
GROUPS = 4  # at least, where the batch is large enough: work for as many threads


class HalideStep:
    """The loss of a batch and the gradient of every parameter.

    Parameters
    ----------
    graph : Graph of the network
    batch, height, width : int, LR patches of a step and their size
    loss : a name in `halide_kernels.Loss.NAMES`
    threads : int, at most; the bits do not depend on it.

    Attributes
    ----------
    threads : int, no more than there is work for
    parameters : dict of str -> shape, what a step is given
    note : str, where the kernels come from. "compiled in memory" means for this process alone, for
        want of a C compiler; threads then wait for each other.

    Raises
    ------
    operations.Unsupported if the network has an operation that there is no kernel for.
    """

    def __init__(
        self, graph: Graph, batch: int, height: int, width: int, loss: str, threads: int = 1
    ):
        plan = Plan(graph, loss, batch, height, width, Machine.of(hl.get_host_target()))
        conversions = {Conversion(plan.channels): None, Conversion(plan.colours): None}
        library = Library([*plan.kernels(), *conversions], plan.plane)
        self._plan, self.note = plan, library.note
        self.parameters = plan.parameters
        self._group = _group_size(plan, batch)
        groups = batch // self._group
        after_loss = partial(_to_psnr, batch) if loss == "psnr" else None
        self.threads = max(1, min(threads, groups))
        self._given = {name: np.zeros(shape, np.float32) for name, shape in plan.parameters.items()}
        self._sums, views = _flat(plan.sums, groups)
        memories = [_Memory(plan, self._group, library) for _ in range(self.threads)]
        self._groups = [
            _Group(plan, library, memories[index % self.threads],
                   {"parameter": self._given,
                    "sum": {name: view[index] for name, view in views.items()}}, after_loss)
            for index in range(groups)
        ]
        self._lr_shape = (batch, plan.channels, height, width)
        self._hr_shape = (batch, plan.colours, plan.scale * height, plan.scale * width)
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def __call__(self, parameters: dict, lr: Any, hr: Any) -> paddle.Tensor:
        """The loss as a Paddle tensor, whose `backward` gives the gradients.

        Parameters
        ----------
        parameters : dict of str -> float32 tensor, the network's effective parameters
        lr : float32 (N, C, H, W) in [0, 1], numpy array or anything that speaks DLPack
        hr : float32 (N, C, scale * H, scale * W)
        """
        tensors = [parameters[name] for name in self.parameters]
        return _Loss.apply(self, np.from_dlpack(lr), np.from_dlpack(hr), *tensors)

    def gradients(
        self, parameters: dict, lr: np.ndarray, hr: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The loss and the gradient of every parameter, in numpy.

        Parameters
        ----------
        parameters : dict of str -> float32 array
        lr, hr : planes, as above, or pictures: uint8 (N, H, W, 3) and (N, scale * H, scale * W, 3),
            RGB, which become planes as by `planes.planes_of`

        Returns
        -------
        (float, dict of str -> float32 array); the arrays are the caller's own.
        """
        for name, array in self._given.items():
            np.copyto(array, parameters[name])
        lr, hr = _checked(lr, self._lr_shape), _checked(hr, self._hr_shape)
        others = [self._pool.submit(self._work, thread, lr, hr)
                  for thread in range(1, self.threads)]
        self._work(0, lr, hr)
        for other in others:
            other.result()
        total = self._sums.sum(axis=0)
        return self._split(total)

    def _work(self, thread, lr, hr):
        """One thread's share of the groups."""
        for index in range(thread, len(self._groups), self.threads):
            images = slice(index * self._group, (index + 1) * self._group)
            self._groups[index].run(lr[images], hr[images])

    def _split(self, total):
        _, views = _flat(self._plan.sums, memory=total)
        loss = float(views["loss"].sum(dtype=np.float64))
        gradients = {}
        for name, shape in self.parameters.items():
            view = views[name]
            is_shared = name in self._plan.shared
            gradients[name] = view.sum(keepdims=True) if is_shared else view[: shape[0]]
        return loss, gradients


class _Loss(paddle.autograd.PyLayer):
    """A step as a function that Paddle can differentiate."""

    @staticmethod
    def forward(ctx, step, lr, hr, *tensors):
        arrays = [np.from_dlpack(tensor.detach()) for tensor in tensors]
        loss, gradients = step.gradients(dict(zip(step.parameters, arrays)), lr, hr)
        ctx.gradients = list(gradients.values())
        ctx.is_frozen = [tensor.stop_gradient for tensor in tensors]
        return paddle.to_tensor(loss, dtype="float32")

    @staticmethod
    def backward(ctx, factor):
        factor = np.float32(factor.item())
        # Memory of their own: Paddle frees what it takes for a gradient.
        return tuple(
            None if is_frozen else paddle.to_tensor(gradient * factor)
            for gradient, is_frozen in zip(ctx.gradients, ctx.is_frozen)
        )


class _Converted:
    """Memory for the planes of some pictures, and the call that fills it."""

    def __init__(self, library, shape):
        self._planes = np.zeros(shape, np.float32)
        batch, channels, height, width = shape
        self._pixels = (batch, height * width, 3)
        planes = self._planes.reshape(batch, channels, -1)
        self._call = library.bind(Conversion(channels), [np.zeros(self._pixels, np.uint8), planes])

    def of(self, images):
        """float32 (N, C, H, W) of uint8 (N, H, W, 3)."""
        self._call.replace(0, np.ascontiguousarray(images).reshape(self._pixels))
        self._call()
        return self._planes


class _Memory:
    """The planes of a group of images, and the mask; one a thread."""

    def __init__(self, plan, images, library):
        plane = plan.plane
        self.plane = plane
        self.lr = plane.zeros(images, plan.channels)
        height, width = plan.scale * plane.height, plan.scale * plane.width
        self._hr = np.zeros((images, plan.colours, height, width), np.float32)
        self._converted = [
            _Converted(library, (images, plan.channels, plane.height, plane.width)),
            _Converted(library, self._hr.shape),
        ]
        slots = [plane.zeros(images, planes) for planes in plan.slot_planes]
        self.written = {
            name: slots[plan.slots[name]].reshape(images, *sets, plane.extent)
            for name, sets in plan.written.items()
        }
        self.planes = {
            name: self.written[result][:, index] for name, (index, result) in plan.planes.items()
        }
        self.planes["value", 0] = self.lr

    def converted(self, lr, hr):
        """Pictures of a group as planes."""
        return tuple(made.of(images) for made, images in zip(self._converted, (lr, hr)))

    def array(self, name):
        """The array of a name of `Call`."""
        if name == ("mask",):
            return self.plane.mask
        if name == ("hr",):
            return self._hr
        if name == ("losses",):
            return self.plane.rows_of(self.plane.computed(self.written[name]))
        if name[0] == "rows":
            return self.plane.rows_of(self.plane.computed(self.planes["value", name[1]]))
        if name in self.written:
            return self.plane.computed(self.written[name])
        return self.planes[name]


class _Group:
    """The calls of a step for one group of images.

    Parameters
    ----------
    plan : Plan
    library : Library
    memory : _Memory
    arrays : dict of "parameter" and "sum" -> name -> array, what the calls read and write besides
    after_loss : callable or None, changes the gradients and losses of the images' values, an array
        (images, 2, values of an LR pixel, H, W), before they are passed back.
    """

    def __init__(self, plan, library, memory, arrays, after_loss):
        self._memory, self._after_loss = memory, after_loss
        self._lr = memory.plane.rows_of(memory.plane.computed(memory.lr))
        self._calls = []
        for call in plan.calls:
            given = [arrays[name[0]][name[1]] if name[0] in arrays else memory.array(name)
                     for name in call.names]
            self._calls.append(library.bind(call.kernel, given))
            if ("hr",) in call.names:
                self._loss, self._hr_index = self._calls[-1], call.names.index(("hr",))

    def run(self, lr, hr):
        """Make the sums for these images, planes or pictures."""
        if lr.dtype == np.uint8:
            lr, hr = self._memory.converted(lr, hr)
        self._lr[...] = lr
        self._loss.replace(self._hr_index, hr)
        for call in self._calls:
            call()
            if call is self._loss and self._after_loss:
                self._after_loss(self._memory.array(("losses",)))


def _to_psnr(batch, losses):
    """From squares, divided by all values of a batch, to `losses.PSNR`, image by image."""
    for gradient, squares in losses:
        square = float(squares.sum(dtype=np.float64)) * batch + PSNR().epsilon
        gradient *= np.float32(10 / np.log(10) / square)
        squares[...] = 10 * np.log10(square) / (batch * squares.size)


def _group_size(plan, batch):
    """Images taken together: a divisor of the batch."""
    planes = plan.channels + sum(plan.slot_planes)
    most = max(1, min(GROUP_BYTES // (4 * planes * plan.plane.extent), batch // GROUPS))
    return next(size for size in range(most, 0, -1) if batch % size == 0)


def _flat(shapes, groups=None, memory=None):
    """Arrays in one piece of memory: (memory, name -> view), with a first axis for the groups."""
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    lead = () if groups is None else (groups,)
    if memory is None:
        memory = np.zeros((*lead, sum(sizes.values())), np.float32)
    views, first = {}, 0
    for name, shape in shapes.items():
        views[name] = memory[..., first : first + sizes[name]].reshape(*lead, *shape)
        first += sizes[name]
    return memory, views


def _checked(array, shape):
    """The array, dense, if it is a batch of the shape that the kernels were compiled for."""
    batch, _, height, width = shape
    is_pictures = array.dtype == np.uint8
    shape = (batch, height, width, 3) if is_pictures else shape
    if array.shape != shape:
        raise ValueError(f"expected a batch of shape {shape} but got {array.shape}")
    return np.ascontiguousarray(array, np.uint8 if is_pictures else np.float32)
