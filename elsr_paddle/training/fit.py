"""Training one stage: what a step changes, what is validated, how a run is continued.

Everything random is a function of (seed, step), so the state of a run is its tensors and its step:
a run killed at any moment continues from the last state to the same bits, on the same number of
threads and processes.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from elsr_paddle.data.patches import PatchBatches
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import PROTOCOLS, score
from elsr_paddle.framework import paddle, wait_for_all
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks import build
from elsr_paddle.networks.paddle_layer import (
    PaddleNetwork,
    enlarge,
    load_arrays,
    to_arrays,
    warm_start,
)
from elsr_paddle.networks.weights import fingerprint, load_tensors, read_arrays
from elsr_paddle.training.kernels import Average, compiled_gradients
from elsr_paddle.training.runs import Recorder

log = logging.getLogger(__name__)

LOSSES = {
    "l1": paddle.nn.functional.l1_loss,
    "l2": paddle.nn.functional.mse_loss,
}
LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)  # of R, G and B: BT.601


class Trainer:
    """The network, Adam and the averaged weights: all that an optimizer step changes.

    Parameters
    ----------
    run : Run

    Attributes
    ----------
    step : int, updates done.
    kernels : "paddle" or "halide", who computes losses and gradients.
    """

    def __init__(self, run):
        paddle.seed(run.seed)
        self.stage = run.stage
        self.step = 0
        network = build(run.network["model"], run.network["config"])
        self.model = PaddleNetwork(network, run.stage.expansion)
        self.average = PaddleNetwork(network) if run.stage.ema_decay else None
        self._average = None if self.average is None else Average(self.average)
        self.optimizer = paddle.optimizer.Adam(
            run.stage.learning_rate, parameters=self.model.parameters()
        )
        self.scaler = paddle.amp.GradScaler(enable=run.amp)
        self._amp = run.amp
        parallel = paddle.distributed.get_world_size() > 1
        self._forward = paddle.DataParallel(self.model) if parallel else self.model
        on_cpu = paddle.device.get_device() == "cpu"
        self._compiled, note = compiled_gradients(
            run.kernels,
            self.model,
            run.stage.batch_size,
            run.stage.hr_patch // run.stage.scale,
            run.stage.loss,
            alone=on_cpu and not parallel and not run.amp,
        )
        self.kernels = "halide" if self._compiled else "paddle"
        log.info("kernels: %s (%s)", self.kernels, note)
        self._update_average(decay=0.0)

    def start_from(self, weights):
        """Warm start from a plain network; gives the names that stay as initialised."""
        fresh = warm_start(self.model, weights)
        self._update_average(decay=0.0)
        return fresh

    def update(self, lr, hr):
        """One optimizer step on a batch of uint8 patches, (N, h, w, 3) and (N, s*h, s*w, 3).

        Returns
        -------
        The loss over all processes as a tensor: reading its value waits for the device, so the
        caller chooses when.
        """
        self.optimizer.set_lr(self.stage.learning_rate_at(self.step))
        if self._compiled:
            loss = self._compiled(lr, hr)  # the next step overwrites the gradients
            self.optimizer.step()
        else:
            loss = self._update_by_paddle(lr, hr)
        self.step += 1
        # Young averages forget faster: a short run must not be judged by its random start.
        self._update_average(min(self.stage.ema_decay, self.step / (10 + self.step)))
        return loss

    def _update_by_paddle(self, lr, hr):
        with paddle.amp.auto_cast(enable=self._amp):
            sr = self._forward(to_tensor(lr, self.model.channels))
            loss = LOSSES[self.stage.loss](sr, to_tensor(hr, self.model.channels))
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.clear_grad()
        return _mean_over_processes(loss.detach())

    def network(self):
        """The network to validate and to save: the averaged one where the stage averages."""
        return self.model if self.average is None else self.average

    def tensors(self):
        """Every number a continued run needs, by name."""
        tensors = {f"model.{name}": p.numpy() for name, p in self.model.named_parameters()}
        tensors.update({f"adam.{name}": t.numpy() for name, t in self._moments()})
        if self.average is not None:
            tensors.update({f"average.{k}": v for k, v in to_arrays(self.average).items()})
        return tensors

    def restore(self, tensors, step):
        """Continue from what `tensors()` gave after `step` updates."""
        self._make_moments()
        current = {f"model.{name}": p for name, p in self.model.named_parameters()}
        current.update({f"adam.{name}": tensor for name, tensor in self._moments()})
        average = {k[len("average.") :]: v for k, v in tensors.items() if k.startswith("average.")}
        if current.keys() != {name for name in tensors if not name.startswith("average.")}:
            raise InputError("the saved state is that of another network; train anew")
        for name, tensor in current.items():
            tensor.set_value(tensors[name])
        if self.average is not None:
            load_arrays(self.average, average)
        self.step = step

    def _update_average(self, decay):
        if self.average is None:
            return
        if self._compiled:
            self._average.update(self._compiled.effective(), decay)
            return
        with paddle.no_grad():
            current = dict(self.model.plain())
            for name, tensor in self.average.plain():
                tensor.set_value(paddle.lerp(current[name], tensor, decay))

    def _moments(self):
        """(kind.parameter, tensor) of Adam's state, under names that outlive this process.

        Paddle numbers its own names by what else the process has built before.
        """
        names = {p.name: name for name, p in self.model.named_parameters()}
        for key, tensor in self.optimizer.state_dict().items():
            owner = next((own for own in names if key.startswith(f"{own}_")), None)
            if owner is not None:
                kind = key[len(owner) + 1 :].rpartition("_")[0]
                yield f"{kind}.{names[owner]}", tensor

    def _make_moments(self):
        """Adam makes its moments at its first step: do one, whose result is overwritten."""
        zero = sum((p * 0).sum() for p in self.model.parameters())
        zero.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()


def _mean_over_processes(loss):
    processes = paddle.distributed.get_world_size()
    if processes == 1:
        return loss
    paddle.distributed.all_reduce(loss)
    return loss / processes


def to_tensor(images, channels=3):
    """uint8 RGB (N, H, W, 3) -> float32 (N, channels, H, W) in [0, 1], converted on the device.

    One channel is luma: BT.601 in full range.
    """
    tensor = paddle.to_tensor(images).astype("float32") / 255.0
    if channels == 1:
        return paddle.matmul(tensor, paddle.to_tensor(LUMA)).transpose([0, 3, 1, 2])
    return tensor.transpose([0, 3, 1, 2])


def evaluate(upscale, pairs, rows):
    """Mean PSNR of `upscale` over pairs: full-frame RGB, and Y without a border of `scale` pixels.

    Parameters
    ----------
    upscale : callable, uint8 LR image -> uint8 SR image
    pairs : Pairs
    rows : int, how many of them, spread evenly.

    Returns
    -------
    dict with "rgb_db" and "y_db", means of per-image values.
    """
    chosen = np.unique(np.linspace(0, len(pairs) - 1, rows).astype(int))
    psnr_db = {"rgb": [], "y": []}
    for lr, hr in (pairs[row] for row in chosen):
        sr = upscale(lr)
        for name, values in psnr_db.items():
            protocol = PROTOCOLS[name]
            values.append(score(hr, sr, protocol, scale=pairs.scale, structure=False).psnr_db)
    return {f"{name}_db": float(np.mean(values)) for name, values in psnr_db.items()}


def image_function(model):
    """A network as a function from RGB image to RGB image, as `evaluate` wants it."""
    if model.channels == 3:
        return partial(enlarge, model)

    def upscale_plane(luma):
        return enlarge(model, luma[..., None])[..., 0]

    return partial(upscale_by_luma, upscale_plane=upscale_plane)


def fit(
    run, train_pairs, val_pairs, *, start=None, overwrite=False, workers=1, on_metrics=None
):
    """Train one stage to its end, from its saved state where there is one.

    Parameters
    ----------
    run : Run
    train_pairs, val_pairs : Pairs of the stage's scale
    start : Path of weights to start from (.safetensors or .pdparams); None trains from scratch.
    overwrite : bool, leave the saved state aside, and remove what the folder holds of an older run
        once everything that is needed for the new one has been read.
    workers : int, threads that prepare patches.
    on_metrics : callable(dict), called with each line of metrics.

    Returns
    -------
    dict: the metrics of the best validation.

    Raises
    ------
    InputError if patch and pairs do not fit, the state belongs to another run, the disk is full,
        or the loss is no longer finite (the last good state is kept).
    KeyboardInterrupt after Ctrl-C or SIGTERM; the state is saved first.
    """
    rank, world_size = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    if not overwrite and run.state.exists():
        run = _with_saved_kernels(run)
    trainer = Trainer(run)
    batches = PatchBatches(
        train_pairs,
        hr_patch=run.stage.hr_patch,
        batch_size=run.stage.batch_size,
        seed=run.seed,
        rank=rank,
        world_size=world_size,
    )
    weights = None if start is None else read_arrays(start)
    identity = {
        **_identity(run, train_pairs, world_size, weights),
        "kernels": trainer.kernels,
    }
    if overwrite or not run.state.exists():
        progress = _begin(trainer, weights, identity)
    else:
        progress = _continue(run, trainer, identity)
    wait_for_all(f"{run.folder} read")
    if overwrite and rank == 0:
        run.clear()
    if trainer.step == run.stage.steps:
        return progress["best"]
    recorder = None
    if rank == 0:
        recorder = Recorder(
            run, progress, train_pairs.degradation, _validation(run, val_pairs), on_metrics
        )
    wait_for_all(f"{run.folder} begins")
    with _stop_signals(enabled=world_size == 1) as stop_requested:
        for lr, hr in batches.loader(trainer.step, run.stage.steps, workers=workers):
            loss = trainer.update(lr, hr)
            stopping = stop_requested.is_set()
            if recorder:
                recorder.after_step(trainer, loss, stopping)
            if run.validates_after(trainer.step):
                wait_for_all(f"{run.folder} step {trainer.step}")  # saved, for the next stage too
            if stopping:
                raise KeyboardInterrupt
    return progress["best"]


def _validation(run, pairs):
    """A function that scores a network against bicubic, whose own score is computed once."""
    bicubic = evaluate(lambda lr: imresize(lr, scale=pairs.scale), pairs, run.val_rows)

    def validate(network):
        scores = evaluate(image_function(network), pairs, run.val_rows)
        return {
            **{f"psnr_{colour}": db for colour, db in scores.items()},
            **{f"bicubic_{colour}": db for colour, db in bicubic.items()},
        }

    return validate


def _identity(run, train_pairs, world_size, weights):
    """What must be equal for a saved state to be continued to the same bits."""
    return {
        **asdict(run.stage),
        **run.network,
        "seed": run.seed,
        "amp": run.amp,
        "training pairs": len(train_pairs),
        "degradation": train_pairs.degradation,
        "processes": world_size,
        # So that a stage is not taken for done when the one before has been trained anew.
        "starts from": None if weights is None else fingerprint(weights),
    }


def _with_saved_kernels(run):
    """The run, with the kernels of its saved state in place of `auto`.

    Other kernels would continue it to other bits.
    """
    if run.kernels != "auto":
        return run
    _, progress = load_tensors(run.state)
    return replace(run, kernels=progress["identity"].get("kernels", "paddle"))


def _begin(trainer, weights, identity):
    """Set the trainer to the start of a run; gives what the run knows of its progress."""
    if weights is not None:
        fresh = trainer.start_from(weights)
        log.info("fresh parameters: %s", ", ".join(fresh) or "none")
    return {"identity": identity, "step": 0, "best": None, "scaler": {}}


def _continue(run, trainer, identity):
    """Bring the trainer to where the saved state stands; gives the progress saved along."""
    tensors, progress = load_tensors(run.state)
    # What an older state does not tell of its pairs is taken to be the same; Paddle trained it.
    saved = {
        "degradation": identity["degradation"],
        "kernels": "paddle",
        **progress["identity"],
    }
    differing = [
        f"{key}: {saved.get(key)} -> {value}"
        for key, value in identity.items()
        if saved.get(key) != value
    ]
    if differing:
        raise InputError(
            f"{run.state} belongs to another run ({'; '.join(differing)}): give the same options, "
            "or --overwrite to train anew"
        )
    trainer.restore(tensors, progress["step"])
    trainer.scaler.load_state_dict(progress["scaler"])
    log.info("stage %d continues after step %d", run.stage.number, trainer.step)
    return progress


@contextmanager
def _stop_signals(enabled):
    """Yield an event that Ctrl-C and SIGTERM set, so that a step is never cut in two.

    A second Ctrl-C stops at once. Not in threads, which Python gives no signals, and not with
    several processes, which would wait for each other for ever: there the last state is what stays.
    """
    requested = threading.Event()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield requested
        return

    def request(number, frame):
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, request) for number in signals}
    try:
        yield requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
