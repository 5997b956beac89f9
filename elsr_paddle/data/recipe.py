"""Declare how pairs are made of frames, and how the work is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from elsr_paddle.data.degradations import DEGRADATIONS
from elsr_paddle.errors import InputError
from elsr_paddle.options import check, option


@dataclass(frozen=True)
class Recipe:
    """Which pairs are made of the frames of a clip.

    Attributes
    ----------
    scales : tuple of int, a file of pairs is written for each.
    degradation : str, a name in degradations.DEGRADATIONS
    every : int, every n-th frame of a clip is taken.
    shrinks : tuple of float, HR frames are first shrunk by each; (1, 2) takes them at half their
        size as well, which is sharper, (4,) gives the reduced REDS of ELSR-torch. Sizes between
        show a network the same edges anew, so that it learns few photos less by heart.
    saturation : float, HR's colours are weakened to this share before LR is made; 0 makes them
        gray. An RGB network that begins on weak colours spends more of itself on luma.
    hr_patch : int or None, side of the HR patches that training frames are cut into, a multiple of
        every scale; None keeps frames whole.
    min_detail : float, levels; training patches with less `prepare.detail` are dropped.
    draws : int, how often a training frame goes through a degradation that draws, each time with a
        seed of its own; there are that many pairs of each patch.

    Raises
    ------
    InputError for a value out of its range, or values that do not go together.
    """

    scales: tuple[int, ...] = (2, 4)
    degradation: str = option("bicubic", "how LR is made of HR", choices=tuple(DEGRADATIONS))
    every: int = option(1, "take only every K-th frame of a clip", minimum=1, metavar="K")
    shrinks: tuple[float, ...] = (1,)
    saturation: float = option(1.0, "weaken HR's colours to this share first", minimum=0,
                               metavar="S")
    hr_patch: int | None = option(
        None, "cut training frames into PxP patches", minimum=1, metavar="P"
    )
    min_detail: float = option(
        0.0, "drop patches flatter than this, in levels", minimum=0, metavar="L"
    )
    draws: int = option(1, "make each training patch N times, by N draws of a degradation that "
                        "draws, as compressed does", minimum=1, metavar="N")

    def __post_init__(self):
        check(self)
        scales, patch = self.scales, self.hr_patch
        shown = ", ".join(map(str, scales))
        if not scales or min(scales) < 2 or len(set(scales)) < len(scales):
            raise InputError(f"expected different scales of 2 or more but got {shown or 'none'}")
        if patch is not None and any(patch % scale for scale in scales):
            raise InputError(f"expected an HR patch divisible by {shown} but got {patch}")
        is_fit = self.shrinks and all(1 <= shrink < math.inf for shrink in self.shrinks)
        if not is_fit or len(set(self.shrinks)) < len(self.shrinks):
            raise InputError("expected --shrink to name different numbers of 1 or more but got "
                             f"{', '.join(f'{shrink:g}' for shrink in self.shrinks) or 'none'}")
        if len(self.shrinks) > 1 and patch is None:
            raise InputError("expected --hr-patch beside several numbers of --shrink")
        if self.min_detail and patch is None:
            raise InputError("expected --hr-patch beside --min-detail, which drops patches")
        if self.draws > 1 and patch is None:
            raise InputError("expected --hr-patch beside --draws, which makes each patch anew")


@dataclass(frozen=True)
class Job:
    """How the work is done; nothing here changes a pair.

    Attributes
    ----------
    workers : int or None, threads; None for one per core.
    overwrite : bool, replace files that are there.
    source : str, recorded in the files.
    progress : callable(iterable, *, total, desc) that returns the iterable, such as tqdm; total is
        None when a video does not say its length.
    on_error : callable that takes the InputError of each image that cannot be used; such images are
        left out. None raises the first.
    """

    workers: int | None = option(None, "threads (default: one per core)", minimum=1)
    overwrite: bool = option(False, "replace files that are there")
    source: str = ""
    progress: Callable[..., Iterable] | None = None
    on_error: Callable[[InputError], object] | None = None

    def __post_init__(self):
        check(self)
