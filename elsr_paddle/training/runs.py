"""A run of one stage on disk: its description, its metrics, its weights and its state."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import elsr_paddle
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.framework import paddle
from elsr_paddle.networks.paddle_layer import to_arrays
from elsr_paddle.networks.weights import save_tensors
from elsr_paddle.training.kernels import KERNELS
from elsr_paddle.training.stages import Stage

SCORES = ("psnr_rgb_db", "psnr_y_db", "bicubic_rgb_db", "bicubic_y_db")


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
    kernels : "auto", "paddle" or "halide": who computes losses and gradients. `auto` keeps to the
        saved state, else takes Halide where it is installed and one process trains on a CPU a
        network that it has all operations for.
    """

    stage: Stage
    network: dict
    folder: Path
    seed: int = 0
    validate_every: int = 500
    log_every: int = 100
    val_rows: int = 50
    amp: bool = False
    kernels: str = "auto"

    def __post_init__(self):
        if self.kernels not in KERNELS:
            raise InputError(
                f"expected kernels to be one of {', '.join(KERNELS)} but got {self.kernels}"
            )
        for name in ("validate_every", "log_every", "val_rows"):
            if getattr(self, name) < 1:
                raise InputError(f"expected {name} to be at least 1 but got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:  # what both Paddle and numpy take
            raise InputError(f"expected a seed of 0 or more but got {self.seed}")

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

    def validates_after(self, step):
        """Whether the network is validated, and the run's state saved, after that many updates."""
        return step % self.validate_every == 0 or step == self.stage.steps

    def claim(self, *, resume, overwrite):
        """Make sure that what an earlier run left in the folder is continued or given up by choice.

        Raises
        ------
        InputError if there is something and neither is asked for.
        """
        if not (resume or overwrite) and any(path.exists() for path in self._files()):
            raise InputError(
                f"{self.folder} holds a run already: --resume continues it, --overwrite trains anew"
            )

    def clear(self):
        """Remove what an earlier run left in the folder."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self):
        return self.state, self.metrics, self.best, self.last


class Recorder:
    """Writes what a run leaves behind: metrics, best and last weights, state.

    Parameters
    ----------
    run : Run
    progress : dict with "step" and "best", saved along with the state.
    degradation : str, of the training pairs, for the metadata of the weights.
    validate : callable, network -> dict of SCORES
    on_metrics : callable(dict) or None, called with each line of metrics.
    """

    def __init__(self, run, progress, degradation, validate, on_metrics=None):
        self.run = run
        self.progress = progress
        self.degradation = degradation
        self.validate = validate
        self.on_metrics = on_metrics or (lambda record: None)
        self.losses = []
        self.since = time.perf_counter()
        run.folder.mkdir(parents=True, exist_ok=True)
        self._keep_metrics_up_to(progress["step"])

    def after_step(self, trainer, loss, stopping):
        """Log, validate and save where the step is due for it."""
        step = trainer.step
        self.losses.append(loss)
        validating = self.run.validates_after(step)
        if not (validating or stopping or step % self.run.log_every == 0):
            return
        record = self._loss_record(step)
        self._check_finite(trainer, record["loss"])
        if validating:
            record.update(self.validate(trainer.network()))
            self._keep_weights(trainer, record)
        self._append(record)
        if validating or stopping:
            self._save_state(trainer)
        self.on_metrics(record)

    def _loss_record(self, step):
        """The line of metrics for the steps since the last one."""
        values = [float(loss) for loss in self.losses]
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        self.losses = []
        return {
            "stage": self.run.stage.number,
            "step": step,
            "loss": sum(values) / len(values),
            "learning_rate": self.run.stage.learning_rate_at(step - 1),
            "steps_per_second": len(values) / seconds,
        }

    def _check_finite(self, trainer, loss):
        """Stop before anything is saved that can no longer be trained."""
        weights = to_arrays(trainer.model).values()
        if not (math.isfinite(loss) and all(np.isfinite(array).all() for array in weights)):
            raise InputError(
                f"stage {self.run.stage.number} diverged by step {trainer.step} (loss {loss}); "
                "what was saved before is intact; --overwrite with a lower --learning-rate than "
                f"{self.run.stage.learning_rate} trains anew"
            )

    def _keep_weights(self, trainer, record):
        """Write last.safetensors, and best.safetensors when no validation was better."""
        weights = to_arrays(trainer.network())
        metadata = {
            "model": self.run.network["model"],
            "config": trainer.model.network.config,
            "degradation": self.degradation,
            "stage": asdict(self.run.stage),
            "seed": self.run.seed,
            "step": trainer.step,
            **{key: record[key] for key in SCORES},
            "versions": versions(),
        }
        best = self.progress["best"]
        if best is None or record["psnr_rgb_db"] > best["psnr_rgb_db"]:
            self.progress["best"] = record
            save_tensors(self.run.best, weights, metadata)
        save_tensors(self.run.last, weights, metadata)

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
    """The lines of a metrics file as dicts; a last line cut short by a kill is left out.

    Raises
    ------
    InputError if any other line is damaged.
    """
    path = Path(path)
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    try:
        return [json.loads(line) for line in whole]
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is damaged ({error}); remove it or train anew") from error


def versions():
    """What made the weights, for their metadata."""
    return {
        "elsr_paddle": elsr_paddle.__version__,
        "paddle": paddle.__version__,
        "python": sys.version.split()[0],
    }
