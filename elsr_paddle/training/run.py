"""State what a run of one stage is: everything but the data that decides which bits come out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from elsr_paddle.errors import InputError
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.zoo import BEST
from elsr_paddle.options import check, option
from elsr_paddle.training.stages import Stage

KERNELS = ("auto", "paddle", "halide")
SEEDS = 2**63  # what both Paddle and numpy take


@dataclass(frozen=True)
class Run:
    """One stage on its way: everything but the data that decides which bits come out.

    The fields with a help text are flags of `train`.

    Attributes
    ----------
    stage : Stage
    network : Network
    folder : Path that holds best.safetensors, last.safetensors, state.safetensors, metrics.jsonl
        and config.json.

    Raises
    ------
    InputError for a value out of its range.
    """

    stage: Stage
    network: Network
    folder: Path
    seed: int = option(0, "seed of the initial weights and of the patches", minimum=0)
    validate_every: int = option(500, "steps between two validations; each saves the state",
                                 minimum=1)
    log_every: int = option(100, "steps over which the loss of a line is averaged", minimum=1)
    val_rows: int = option(50, "pairs validated, spread evenly over their file", minimum=1)
    amp: bool = option(False, "mixed precision, on a GPU only", choices=(True, False))
    deterministic: bool = option(True, "equal bits in every run; without, a GPU is faster",
                                 choices=(True, False))
    kernels: str = option("auto", "what computes losses and gradients: paddle, or compiled kernels "
                          "that train several times as fast on a CPU; auto: as the saved state, "
                          "else halide where it has all that the run needs", choices=KERNELS)
    vgg: str = option("", "weights of VGG19 for the perceptual loss, Paddle's .pdparams or "
                      "torchvision's .pth (default: downloaded)", metavar="FILE")

    def __post_init__(self):
        check(self)
        if self.seed >= SEEDS:
            raise InputError(f"expected a seed below {SEEDS} but got {self.seed}")

    @property
    def best(self) -> Path:
        """Weights of the best validation."""
        return self.folder / BEST

    @property
    def last(self) -> Path:
        """Weights of the last validation."""
        return self.folder / "last.safetensors"

    @property
    def state(self) -> Path:
        """What a run is continued from."""
        return self.folder / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """One line of JSON every `log_every` steps and for each validation."""
        return self.folder / "metrics.jsonl"

    @property
    def config(self) -> Path:
        """The options, as `train --config` takes them."""
        return self.folder / "config.json"

    def options(self) -> dict[str, Any]:
        """Every option of the stage, the network and the run by name."""
        return {"stage": self.stage.number, "model": self.network.name, **self.network.config,
                **_flags(self.stage), **_flags(self)}

    def validates_after(self, step: int) -> bool:
        """Whether the network is validated, and the run's state saved, after that many updates."""
        return step % self.validate_every == 0 or step == self.stage.steps

    def claim(self, *, resume: bool, overwrite: bool) -> None:
        """Make sure that what an earlier run left in the folder is continued or given up by choice.

        Raises
        ------
        InputError if there is something and neither is asked for.
        """
        if not (resume or overwrite) and any(path.exists() for path in self._files()):
            raise InputError(
                f"{self.folder} holds a run already: --resume continues it, --overwrite trains anew"
            )

    def clear(self) -> None:
        """Remove what an earlier run left in the folder."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self):
        return self.state, self.metrics, self.config, self.best, self.last


def _flags(options):
    """The fields of a dataclass that `option` declared, by name."""
    return {declared.name: getattr(options, declared.name)
            for declared in fields(options) if declared.metadata}
