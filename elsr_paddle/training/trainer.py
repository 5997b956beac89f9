"""Change a network step by step: what an optimizer step reads and writes, and nothing on disk."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import numpy as np

import elsr_paddle
from elsr_paddle.errors import InputError
from elsr_paddle.framework import mean_over_processes, paddle
from elsr_paddle.imaging.luma import BT601
from elsr_paddle.networks.paddle_layer import PaddleNetwork, load_arrays, to_arrays, warm_start
from elsr_paddle.training.kernels import Average, compiled_gradients
from elsr_paddle.training.losses import make_loss
from elsr_paddle.training.run import Run

log = logging.getLogger(__name__)

LUMA = BT601.astype(np.float32)[:, None]  # (3, 1)
AVERAGE = "average."  # before the names of averaged weights in a state


class Trainer:
    """The network, Adam and the averaged weights: all that an optimizer step changes.

    Parameters
    ----------
    run : Run

    Attributes
    ----------
    step : int, updates done.
    model : PaddleNetwork that is trained
    kernels : "paddle" or "halide", what computes losses and gradients
    """

    def __init__(self, run: Run):
        paddle.seed(run.seed)
        self.stage = run.stage
        self._loss = make_loss(run.stage.loss, run.vgg)
        self.step = 0
        self.model = PaddleNetwork(run.network, run.stage.expansion, run.stage.block,
                                   run.stage.scales if run.stage.in_turn else ())
        self._average = PaddleNetwork(run.network) if run.stage.ema_decay else None
        self._scaler = paddle.amp.GradScaler(enable=run.amp)
        self._amp = run.amp
        parallel = paddle.distributed.get_world_size() > 1
        # A step of one scale leaves the layers of the others alone.
        self._forward = paddle.DataParallel(
            self.model, find_unused_parameters=bool(run.stage.in_turn)) if parallel else self.model
        self._compiled, note = compiled_gradients(run, self.model)
        # All tensors in one call where each has a gradient in every step: the call is what takes
        # time. With scales in turn some have none.
        self._optimizer = paddle.optimizer.Adam(
            run.stage.learning_rate, parameters=self.model.parameters(),
            use_multi_tensor=self._compiled is not None)
        self.kernels = "halide" if self._compiled else "paddle"
        log.info("kernels: %s (%s)", self.kernels, note)
        self._fast_average = Average(self._average) if self._average and self._compiled else None
        self._update_average(decay=0.0)

    @property
    def kept(self) -> PaddleNetwork:
        """The network to validate and to save: the averaged one where the stage averages."""
        return self.model if self._average is None else self._average

    def start_from(self, arrays: dict) -> list[str]:
        """Warm start from a plain network; gives the names that stay as initialised."""
        fresh = warm_start(self.model, arrays)
        self._update_average(decay=0.0)
        return fresh

    def update(self, lr: np.ndarray, hr: np.ndarray) -> paddle.Tensor:
        """One optimizer step on a batch.

        Parameters
        ----------
        lr, hr : uint8 arrays, shapes (N, h, w, 3) and (N, s*h, s*w, 3), RGB

        Returns
        -------
        The loss over all processes as a tensor: reading its value waits for the device, so the
        caller chooses when.
        """
        self._optimizer.set_lr(self.stage.learning_rate_at(self.step))
        loss = self._update_compiled(lr, hr) if self._compiled else self._update_by_paddle(lr, hr)
        self.step += 1
        # Young averages forget faster: a short run must not be judged by its random start.
        self._update_average(min(self.stage.ema_decay, self.step / (10 + self.step)))
        return loss

    def _update_compiled(self, lr, hr):
        loss = self._compiled(lr, hr)  # no gradient is cleared: the next step overwrites them
        self._optimizer.step()
        return loss

    def _update_by_paddle(self, lr, hr):
        loss = self.loss(lr, hr)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._clear_gradients()
        return mean_over_processes(loss.detach())

    def _clear_gradients(self):
        """Before the next step; zeros would let Adam go on with layers that the step leaves out."""
        self._optimizer.clear_grad(set_to_zero=not self.stage.in_turn)

    def loss(self, lr: np.ndarray, hr: np.ndarray) -> paddle.Tensor:
        """The loss of a batch, arguments as for `update`; its `backward` makes the gradients.

        The network alone runs in mixed precision: targets, luma and the loss are float32.
        """
        given, target = (to_tensor(images, self.model.channels) for images in (lr, hr))
        with paddle.amp.auto_cast(enable=self._amp):
            sr = self._forward(given, scale=hr.shape[1] // lr.shape[1])
        return self._loss(sr.astype("float32"), target)

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(np.isfinite(array).all() for array in to_arrays(self.model).values())

    def tensors(self) -> dict[str, np.ndarray]:
        """Every array that a continued run needs, by name."""
        tensors = {name: tensor.numpy() for name, tensor in self._current().items()}
        if self._average is not None:
            averages = to_arrays(self._average)
            tensors.update({AVERAGE + name: array for name, array in averages.items()})
        return tensors

    def scaler_state(self) -> dict:
        """The numbers of mixed precision that a continued run needs, as JSON can hold them."""
        return {key: np.asarray(value).tolist()
                for key, value in self._scaler.state_dict().items()}

    def restore(self, tensors: dict, scaler: dict, step: int) -> None:
        """Continue from what `tensors` and `scaler_state` gave after `step` updates.

        Raises
        ------
        InputError if they are those of another network.
        """
        self._make_moments()
        current = self._current()
        average = {name[len(AVERAGE):]: array for name, array in tensors.items()
                   if name.startswith(AVERAGE)}
        if current.keys() != {name for name in tensors if not name.startswith(AVERAGE)}:
            raise InputError("the saved state is that of another network; train anew")
        for name, tensor in current.items():
            tensor.set_value(tensors[name])
        if self._average is not None:
            load_arrays(self._average, average)
        self._scaler.load_state_dict(scaler)
        self.step = step

    def _update_average(self, decay):
        if self._fast_average:
            self._fast_average.update(self._compiled.effective(), decay)
        if self._average is None or self._fast_average:
            return
        with paddle.no_grad():
            current = dict(self.model.plain())
            for name, tensor in self._average.plain():
                tensor.set_value(paddle.lerp(current[name], tensor, decay))

    def _current(self):
        """Name in a state -> tensor, of the weights that are trained and of Adam."""
        current = {f"model.{name}": p for name, p in self.model.named_parameters()}
        current.update({f"adam.{name}": tensor for name, tensor in self._moments()})
        return current

    def _moments(self) -> Iterator[tuple[str, paddle.Tensor]]:
        """(kind.parameter, tensor) of Adam's state, under names that outlive this process.

        Paddle numbers its own names by what else the process has built before.
        """
        names = {p.name: name for name, p in self.model.named_parameters()}
        for key, tensor in self._optimizer.state_dict().items():
            owner = next((own for own in names if key.startswith(f"{own}_")), None)
            if owner is not None:
                kind = key[len(owner) + 1 :].rpartition("_")[0]
                yield f"{kind}.{names[owner]}", tensor

    def _make_moments(self):
        """Adam makes its moments at its first step: do one, whose result is overwritten."""
        zero = sum((p * 0).sum() for p in self.model.parameters())
        zero.backward()
        self._optimizer.step()
        self._clear_gradients()


def to_tensor(images: np.ndarray, channels: int = 3) -> paddle.Tensor:
    """A batch of pictures as a tensor, converted on the device.

    Parameters
    ----------
    images : uint8 array, shape (N, H, W, 3), RGB
    channels : 3 for RGB, 1 for luma (BT.601 in full range)

    Returns
    -------
    float32 (N, channels, H, W) in [0, 1]
    """
    tensor = paddle.to_tensor(images).astype("float32") / 255.0
    if channels == 1:
        tensor = paddle.matmul(tensor, paddle.to_tensor(LUMA))  # (N, H, W, 3) -> (N, H, W, 1)
    return tensor.transpose([0, 3, 1, 2])


def versions() -> dict[str, str]:
    """The software that made the weights, for their metadata."""
    return {
        "elsr_paddle": elsr_paddle.__version__,
        "paddle": paddle.__version__,
        "python": sys.version.split()[0],
    }
