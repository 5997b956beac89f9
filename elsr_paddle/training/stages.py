"""List the five training stages, one row each: the schedule of the paper as data.

The paper (arXiv 2208.14600) trains x2 with L1 from scratch, then x4 with L1, then x4 with L2, with
growing patches. Its patch sizes, batches, rates and epochs are not known to us: these numbers are
this project's own, chosen by measurement (benchmarks/ablation.md).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from elsr_paddle.errors import InputError
from elsr_paddle.networks.network import SCALES
from elsr_paddle.options import check, option
from elsr_paddle.training.losses import LOSSES, make_loss

SCHEDULES = ("cosine", "halving")
WARM_UP_STEPS = 100  # or a fifth of a shorter stage
_IN_TURN = "[{0}]([+][{0}])*".format("".join(map(str, SCALES)))
HALVINGS = 5  # of the learning rate over a stage with the halving schedule


@dataclass(frozen=True)
class Stage:
    """One stage of training; every field but `number` and `init_from` is a flag of `train`.

    Attributes
    ----------
    number : int, 1 to 5
    init_from : int or None, the stage whose best weights it starts from

    Raises
    ------
    InputError for a value out of its range, and for a patch that is no multiple of the scale.
    """

    number: int
    scale: int = option(help="enlargement", choices=SCALES)
    hr_patch: int = option(help="side of the HR patch, pixels; a multiple of the scale", minimum=1)
    batch_size: int = option(help="patches a step and a process", minimum=1)
    loss: str = option(help=f"{', '.join(LOSSES)}, or a sum such as l1+0.1*perceptual",
                       metavar="LOSS")
    learning_rate: float = option(help="learning rate of Adam, at the start", minimum=0)
    schedule: str = option(help="the rate falls as a cosine to zero, or is halved five times",
                           choices=SCHEDULES)
    steps: int = option(help="optimizer updates", minimum=1)
    expansion: int = option(help="channels inside each linear block while training; 0 trains "
                                 "plain convolutions", minimum=0)
    ema_decay: float = option(help="decay of the averaged weights, which are validated and "
                                   "saved; 0 takes the weights as they are", minimum=0)
    init_from: int | None = None
    in_turn: str = option("", "scales that are trained in turn, a step of each, such as 2+3+4, "
                          "where one body serves them all (mdsr); --scale is the one validated",
                          metavar="S+S")
    block: str = option("linear", "what a convolution is trained as where --expansion is not 0: "
                        "3x3 and 1x1, or with the edge-oriented branches of ECBSR, too",
                        choices=("linear", "edge"))

    def __post_init__(self):
        check(self)
        make_loss(self.loss)
        if self.in_turn and not re.fullmatch(_IN_TURN, self.in_turn):
            raise InputError(f"expected in_turn as 2+3+4 but got {self.in_turn!r}")
        if self.scale not in self.scales:
            raise InputError(f"expected the scale {self.scale} among {self.in_turn}; give --scale")
        for scale in self.scales:
            if self.hr_patch % scale:
                raise InputError(f"expected hr_patch to be a multiple of scale {scale} "
                                 f"but got {self.hr_patch}; give --hr-patch")
        if self.block == "edge" and not self.expansion:
            raise InputError("expected an expansion above 0 for --block edge but got 0")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"expected learning_rate above 0 but got {self.learning_rate}")
        if not self.ema_decay < 1:
            raise InputError(f"expected ema_decay below 1 but got {self.ema_decay}")

    @property
    def scales(self) -> tuple[int, ...]:
        """Those that are trained, a step of each in turn."""
        return tuple(map(int, self.in_turn.split("+"))) if self.in_turn else (self.scale,)

    def learning_rate_at(self, step: int) -> float:
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


def stage_numbers(text: str) -> list[int]:
    """Parse `3` or `1..5` into the numbers of stages.

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
