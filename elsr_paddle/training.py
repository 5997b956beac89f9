"""Training one stage: what a step changes, what is validated and kept, how a run is continued.

Everything random is a function of (seed, step), so the state of a run is its tensors and its step:
a run killed at any moment continues from the last state to the same bits, on the same number of
threads and processes.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import elsr_paddle
from elsr_paddle.checkpoint import load_tensors, read_arrays, save_tensors
from elsr_paddle.data import PatchBatches
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.framework import paddle
from elsr_paddle.images import image_to_tensor, rgb_to_y, tensor_to_image
from elsr_paddle.metrics import psnr
from elsr_paddle.models import build_model, load_arrays, plain_parameters, to_arrays, warm_start
from elsr_paddle.resize import imresize
from elsr_paddle.stages import Stage

log = logging.getLogger(__name__)

LOSSES = {
    "l1": paddle.nn.functional.l1_loss,
    "l2": paddle.nn.functional.mse_loss,
}


class Interrupted(Exception):
    """Training was asked to stop; its state is saved."""


@dataclass(frozen=True)
class Run:
    """One stage on its way: everything but the data that decides which bits come out.

    Attributes
    ----------
    stage : Stage
    network : dict with "model" and "config", as the metadata of a weights file.
    folder : Path that holds best.safetensors, last.safetensors, state.safetensors, metrics.jsonl.
    seed : int
    validate_every : int, steps between two validations; the state is saved along with each.
    log_every : int, steps over which the loss is averaged for one line of metrics.
    val_rows : int, pairs validated, spread evenly over the validation file.
    amp : bool, float16 arithmetic where the GPU has it.
    """

    stage: Stage
    network: dict
    folder: Path
    seed: int = 0
    validate_every: int = 500
    log_every: int = 100
    val_rows: int = 50
    amp: bool = False

    @property
    def best(self):
        return self.folder / "best.safetensors"

    @property
    def last(self):
        return self.folder / "last.safetensors"

    @property
    def state(self):
        return self.folder / "state.safetensors"

    @property
    def metrics(self):
        return self.folder / "metrics.jsonl"

    def claim(self, *, resume, overwrite):
        """Make sure that what an earlier run left in the folder is continued or given up by choice.

        Raises
        ------
        InputError if there is something and neither is asked for.
        """
        found = [path for path in (self.state, self.metrics, self.best, self.last) if path.exists()]
        if overwrite:
            for path in found:
                path.unlink()
        elif found and not resume:
            raise InputError(
                f"{self.folder} holds a run already: --resume continues it, --overwrite trains anew"
            )



class Trainer:
    """The network, Adam and the averaged weights: all that an optimizer step changes.

    Parameters
    ----------
    run : Run

    Attributes
    ----------
    step : int, updates done.
    """

    def __init__(self, run):
        paddle.seed(run.seed)
        self.stage = run.stage
        self.step = 0
        self.model = build_model(run.network, run.stage.expansion)
        self.average = build_model(run.network) if run.stage.ema_decay else None
        self.optimizer = paddle.optimizer.Adam(
            run.stage.learning_rate, parameters=self.model.parameters()
        )
        self.scaler = paddle.amp.GradScaler(enable=run.amp)
        self._amp = run.amp
        parallel = paddle.distributed.get_world_size() > 1
        self._forward = paddle.DataParallel(self.model) if parallel else self.model
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
        The loss as a tensor: reading its value waits for the device, so the caller chooses when.
        """
        self.optimizer.set_lr(self.stage.learning_rate_at(self.step))
        with paddle.amp.auto_cast(enable=self._amp):
            loss = LOSSES[self.stage.loss](self._forward(to_tensor(lr)), to_tensor(hr))
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.clear_grad()
        self.step += 1
        # Young averages forget faster: a short run must not be judged by its random start.
        self._update_average(min(self.stage.ema_decay, self.step / (10 + self.step)))
        return loss.detach()

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
        with paddle.no_grad():
            current = dict(plain_parameters(self.model))
            for name, tensor in plain_parameters(self.average):
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


def to_tensor(images):
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], converted on the device."""
    return paddle.to_tensor(images).astype("float32").transpose([0, 3, 1, 2]) / 255.0


def evaluate(upscale, pairs, rows):
    """Mean PSNR of `upscale` over pairs: full-frame RGB, and Y without a border of `scale` pixels.

    Parameters
    ----------
    upscale : callable, uint8 LR image -> uint8 SR image
    pairs : Pairs
    rows : int, how many of them, spread evenly.

    Returns
    -------
    dict with "rgb_db" and "y_db", means of per-image values; both in dB.
    """
    chosen = np.unique(np.linspace(0, len(pairs) - 1, rows).astype(int))
    rgb, luma = [], []
    for lr, hr in (pairs[row] for row in chosen):
        sr = upscale(lr)
        rgb.append(psnr(hr, sr))
        luma.append(psnr(rgb_to_y(hr), rgb_to_y(sr), crop_border=pairs.scale))
    return {"rgb_db": float(np.mean(rgb)), "y_db": float(np.mean(luma))}


def image_function(model):
    """A network as a function from image to image, as `evaluate` and users want it."""

    @paddle.no_grad()
    def upscale(image):
        return tensor_to_image(model(paddle.to_tensor(image_to_tensor(image))).numpy())

    return upscale


def fit(run, train_pairs, val_pairs, *, start=None, workers=1, on_metrics=None):
    """Train one stage to its end, from its saved state where there is one.

    Parameters
    ----------
    run : Run
    train_pairs, val_pairs : Pairs of the stage's scale
    start : Path of weights to start from (.safetensors or .pdparams); None trains from scratch.
    workers : int, threads that prepare patches.
    on_metrics : callable(dict), called with each line of metrics.

    Returns
    -------
    dict: the metrics of the best validation.

    Raises
    ------
    InputError if patch and pairs do not fit, the state belongs to another run, the disk is full,
        or the loss is no longer finite (the last good state is kept).
    Interrupted after Ctrl-C or SIGTERM; the state is saved first.
    """
    rank, world_size = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    trainer = Trainer(run)
    batches = PatchBatches(
        train_pairs,
        hr_patch=run.stage.hr_patch,
        batch_size=run.stage.batch_size,
        seed=run.seed,
        rank=rank,
        world_size=world_size,
    )
    progress = _begin(run, trainer, start, _identity(run, train_pairs, world_size))
    if trainer.step == run.stage.steps:
        return progress["best"]
    recorder = _Recorder(run, val_pairs, progress, on_metrics) if rank == 0 else None
    with _stop_signals(enabled=world_size == 1) as stop_requested:
        for lr, hr in batches.loader(trainer.step, run.stage.steps, workers=workers):
            loss = trainer.update(lr, hr)
            if recorder:
                recorder.after_step(trainer, loss, stopping=stop_requested.is_set())
            if stop_requested.is_set():
                raise Interrupted
    return progress["best"]


def _identity(run, train_pairs, world_size):
    """What must be equal for a saved state to be continued to the same bits."""
    return {
        **asdict(run.stage),
        **run.network,
        "seed": run.seed,
        "amp": run.amp,
        "training pairs": len(train_pairs),
        "processes": world_size,
    }


def _begin(run, trainer, start, identity):
    """Bring the trainer to where the run stands; gives what the run knows of its progress."""
    if not run.state.exists():
        if start is not None:
            fresh = trainer.start_from(read_arrays(start))
            log.info("fresh parameters: %s", ", ".join(fresh) or "none")
        return {"identity": identity, "step": 0, "best": None, "scaler": {}}
    tensors, progress = load_tensors(run.state)
    differing = [
        f"{key}: {progress['identity'].get(key)} -> {value}"
        for key, value in identity.items()
        if progress["identity"].get(key) != value
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


class _Recorder:
    """Writes what a run leaves behind: metrics, best and last weights, state."""

    def __init__(self, run, val_pairs, progress, on_metrics):
        self.run = run
        self.val_pairs = val_pairs
        self.progress = progress
        self.on_metrics = on_metrics or (lambda record: None)
        self.losses = []
        self.since = time.perf_counter()
        run.folder.mkdir(parents=True, exist_ok=True)
        self._keep_metrics_up_to(progress["step"])
        bicubic = evaluate(
            lambda lr: imresize(lr, scale=val_pairs.scale), val_pairs, run.val_rows
        )
        self.bicubic = {f"bicubic_{key}": value for key, value in bicubic.items()}

    def after_step(self, trainer, loss, stopping):
        """Log, validate and save where the step is due for it."""
        step, last_step = trainer.step, self.run.stage.steps
        self.losses.append(loss)
        validating = step % self.run.validate_every == 0 or step == last_step
        if not (validating or stopping or step % self.run.log_every == 0):
            return
        record = self._loss_record(step)
        if validating:
            record.update(self._validate(trainer))
        self._append(record)
        if validating or stopping:
            self._save_state(trainer)
        self.on_metrics(record)

    def _loss_record(self, step):
        """One line of metrics; stops the run before anything is saved when the loss has gone."""
        values = [float(loss) for loss in self.losses]
        mean = sum(values) / len(values)
        if not math.isfinite(mean):
            raise InputError(
                f"the loss of stage {self.run.stage.number} is {mean} at step {step}; what was "
                f"saved before is intact; train anew with a lower --learning-rate than "
                f"{self.run.stage.learning_rate}"
            )
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        rate = self.run.stage.learning_rate_at(step - 1)
        self.losses = []
        return {
            "stage": self.run.stage.number,
            "step": step,
            "loss": mean,
            "learning_rate": rate,
            "steps_per_second": len(values) / seconds,
        }

    def _validate(self, trainer):
        network = trainer.network()
        scores = evaluate(image_function(network), self.val_pairs, self.run.val_rows)
        record = {f"psnr_{key}": value for key, value in scores.items()} | self.bicubic
        best = self.progress["best"]
        weights = to_arrays(network)
        metadata = {**self._provenance(), "step": trainer.step, **record}
        if best is None or record["psnr_rgb_db"] > best["psnr_rgb_db"]:
            self.progress["best"] = {"step": trainer.step, **record}
            save_tensors(self.run.best, weights, metadata)
        save_tensors(self.run.last, weights, metadata)
        return record

    def _provenance(self):
        return {
            **self.run.network,
            "stage": asdict(self.run.stage),
            "seed": self.run.seed,
            "versions": {
                "elsr_paddle": elsr_paddle.__version__,
                "paddle": paddle.__version__,
                "python": sys.version.split()[0],
            },
        }

    def _save_state(self, trainer):
        scaler = trainer.scaler.state_dict()
        self.progress.update(
            step=trainer.step, scaler={k: np.asarray(v).tolist() for k, v in scaler.items()}
        )
        save_tensors(self.run.state, trainer.tensors(), self.progress)

    def _append(self, record):
        with self.run.metrics.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")

    def _keep_metrics_up_to(self, step):
        """Drop the lines of steps that a kill has undone; they will be written again."""
        kept = [line for line in read_metrics(self.run.metrics) if line["step"] <= step]
        with atomic_write(self.run.metrics) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def read_metrics(path):
    """The lines of a metrics file as dicts; a last line cut short by a kill is left out."""
    path = Path(path)
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]


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

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
