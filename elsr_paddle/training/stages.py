"""The five training stages, one row each: the schedule of the paper as data.

The paper (arXiv 2208.14600) trains x2 with L1 from scratch, then x4 with L1, then x4 with L2, with
growing patches. Its patch sizes, batches, rates and epochs are not known to us: these numbers are
this project's own, chosen by measurement (benchmarks/ablation.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from elsr_paddle.errors import InputError

LOSSES = ("l1", "l2")
SCHEDULES = ("cosine", "halving")
WARM_UP_STEPS = 100  # or a fifth of a shorter stage
HALVINGS = 5  # of the learning rate over a stage with the halving schedule


@dataclass(frozen=True)
class Stage:
    """One stage of training; every field but `number` and `init_from` is a flag of train.py."""

    number: int
    scale: int  # x2, x3 or x4
    hr_patch: int  # side of the HR patch, pixels
    batch_size: int  # patches a step and a process
    loss: str  # "l1" or "l2" (mean squared error)
    learning_rate: float  # Adam, at the start
    schedule: str  # "cosine" to zero, or "halving" five times, per step
    steps: int  # optimizer updates
    expansion: int  # channels inside each linear block while training; 0 trains plain convolutions
    ema_decay: float  # averaged weights are validated and saved; 0 takes the weights as they are
    init_from: int | None  # the stage whose best weights it starts from

    def __post_init__(self):
        for name, allowed in (("loss", LOSSES), ("schedule", SCHEDULES), ("scale", (2, 3, 4))):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"expected {name} to be one of {', '.join(map(str, allowed))} "
                    f"but got {getattr(self, name)}"
                )
        for name in ("hr_patch", "batch_size", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"expected {name} to be at least 1 but got {getattr(self, name)}")
        if self.hr_patch % self.scale:
            raise InputError(
                f"expected hr_patch to be a multiple of scale {self.scale} but got {self.hr_patch}"
            )
        if not (self.learning_rate > 0 and 0 <= self.ema_decay < 1 and self.expansion >= 0):
            raise InputError(
                "expected learning_rate > 0, 0 <= ema_decay < 1 and expansion >= 0 but got "
                f"{self.learning_rate}, {self.ema_decay} and {self.expansion}"
            )

    def learning_rate_at(self, step):
        """The rate of update number `step`, counted from 0: a function of the row alone.

        It rises over the first steps: Adam's first updates have the full rate's length in whatever
        direction noise has, and would throw a good start away.
        """
        warm_up = min(1.0, (step + 1) / min(WARM_UP_STEPS, 1 + self.steps // 5))
        progress = step / self.steps
        if self.schedule == "cosine":
            return warm_up * self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        return warm_up * self.learning_rate * 0.5 ** int(progress * (HALVINGS + 1))


# fmt: off
STAGES = {
    stage.number: stage
    for stage in (
        #     scale patch batch loss  rate   schedule  steps  e   ema    from
        Stage(1, 2,  64, 16, "l1", 2e-3, "cosine",  8_000, 64, 0.999, None),
        Stage(2, 4,  96, 16, "l1", 2e-3, "cosine",  8_000, 64, 0.999, 1),
        Stage(3, 4, 144, 16, "l1", 2e-3, "cosine",  8_000, 64, 0.999, 2),
        Stage(4, 4, 144, 16, "l2", 1e-3, "cosine",  6_000, 64, 0.999, 3),
        Stage(5, 4, 192, 16, "l2", 1e-3, "cosine", 12_000, 64, 0.999, 4),
    )
}
# fmt: on


def stage_numbers(text):
    """Parse `3` or `1..5` into the list of stage numbers.

    Raises
    ------
    InputError if it is neither, or names a stage that does not exist.
    """
    first, _, last = text.partition("..")
    try:
        numbers = list(range(int(first), int(last or first) + 1))
    except ValueError:
        numbers = []
    if not numbers or not set(numbers) <= STAGES.keys():
        raise InputError(f"expected a stage from 1 to 5 or a range such as 1..5 but got {text!r}")
    return numbers
