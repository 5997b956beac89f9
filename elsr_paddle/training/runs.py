"""Keep a run on disk: its options, its metrics, its weights and its state."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.networks.weights import save_tensors
from elsr_paddle.training.run import Run

if TYPE_CHECKING:  # the flags of `train` are made of Run, and --help does not wait for Paddle
    from elsr_paddle.training.trainer import Trainer

SCORES = ("psnr_rgb_db", "psnr_y_db", "bicubic_rgb_db", "bicubic_y_db")


@dataclass
class Progress:
    """What a run knows of itself beside its tensors; saved along with them.

    Attributes
    ----------
    identity : dict, what has to be equal for the run to be continued
    step : int, updates done when the state was saved
    best : dict or None, the line of metrics of the best validation
    scaler : dict, `Trainer.scaler_state`
    """

    identity: dict
    step: int = 0
    best: dict | None = None
    scaler: dict = field(default_factory=dict)


class Recorder:
    """Writes what a run leaves behind: options, metrics, best and last weights, state.

    Parameters
    ----------
    run : Run
    progress : Progress, saved along with the state
    about : dict, what the metadata of the weights tell beside what the run does
    validate : callable, network -> dict of SCORES
    on_metrics : callable(dict) or None, called with each line of metrics.
    """

    def __init__(self, run: Run, progress: Progress, about: dict, validate: Callable,
                 on_metrics: Callable[[dict], None] | None = None):
        self.run, self.progress, self.about = run, progress, about
        self._validate = validate
        self._on_metrics = on_metrics or (lambda record: None)
        self._losses = []
        self._began = self._since = time.perf_counter()
        self._first_step = progress.step
        run.folder.mkdir(parents=True, exist_ok=True)
        self._keep_metrics_up_to(progress.step)
        with atomic_write(run.config) as temporary:
            temporary.write_text(json.dumps(run.options(), indent=2) + "\n")

    def after_step(self, trainer: Trainer, loss: Any, stopping: bool) -> None:
        """Log, validate and save where the step is due for it.

        Raises
        ------
        InputError if the training has diverged or the disk is full; what was saved stays.
        """
        self._losses.append(loss)
        validating = self.run.validates_after(trainer.step)
        if not (validating or stopping or trainer.step % self.run.log_every == 0):
            return
        record = self._loss_record(trainer.step)
        self._check_finite(trainer, record["loss"])
        if validating:
            record.update(self._validate(trainer.kept))
            self._keep_weights(trainer, record)
        self._append(record)
        if validating or stopping:
            self._save_state(trainer)
        self._on_metrics(record)

    def _loss_record(self, step):
        """The line of metrics for the steps since the last one."""
        values = [float(loss) for loss in self._losses]
        now = time.perf_counter()
        seconds, self._since, self._losses = now - self._since, now, []
        # Validations are in the mean of all steps, though not in the speed of those between two.
        seconds_a_step = (now - self._began) / (step - self._first_step)
        return {
            "stage": self.run.stage.number,
            "step": step,
            "loss": sum(values) / len(values),
            "learning_rate": self.run.stage.learning_rate_at(step - 1),
            "steps_per_second": len(values) / seconds,
            "seconds_left": seconds_a_step * (self.run.stage.steps - step),
        }

    def _check_finite(self, trainer, loss):
        """Stop before anything is saved that can no longer be trained."""
        if not (math.isfinite(loss) and trainer.is_finite()):
            raise InputError(
                f"stage {self.run.stage.number} diverged by step {trainer.step} (loss {loss}); "
                "what was saved before is intact; --overwrite with a lower --learning-rate than "
                f"{self.run.stage.learning_rate} trains anew"
            )

    def _keep_weights(self, trainer, record):
        """Write last.safetensors, and best.safetensors when no validation was better."""
        arrays = {name: tensor.numpy() for name, tensor in trainer.kept.plain()}
        metadata = {
            "model": self.run.network.name,
            "config": self.run.network.config,
            "stage": asdict(self.run.stage),
            "seed": self.run.seed,
            "step": trainer.step,
            **{key: record[key] for key in SCORES},
            **self.about,
        }
        best = self.progress.best
        if best is None or record["psnr_rgb_db"] > best["psnr_rgb_db"]:
            self.progress.best = record
            save_tensors(self.run.best, arrays, metadata)
        save_tensors(self.run.last, arrays, metadata)

    def _save_state(self, trainer):
        self.progress.step, self.progress.scaler = trainer.step, trainer.scaler_state()
        save_tensors(self.run.state, trainer.tensors(), asdict(self.progress))

    def _append(self, record):
        with self.run.metrics.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")

    def _keep_metrics_up_to(self, step):
        """Drop the lines of steps that a kill has undone; they will be written again."""
        kept = [line for line in read_metrics(self.run.metrics) if line["step"] <= step]
        with atomic_write(self.run.metrics) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def read_metrics(path: str | Path) -> list[dict]:
    """The lines of a metrics file; a last line cut short by a kill is left out.

    Raises
    ------
    InputError if any other line is damaged.
    """
    path = Path(path)
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    try:
        return [json.loads(line.decode()) for line in whole]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it or train anew") from error
