"""Define the losses: how far an enlarged patch lies from its HR patch, one row each.

They are written in the methods of tensors, so that their names are known without Paddle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CHARBONNIER_EPSILON = 1e-3  # in units of the range [0, 1], as in LapSRN (arXiv 1704.03915)


def l1(sr: Any, hr: Any) -> Any:
    """Mean absolute difference of two float32 tensors."""
    return (sr - hr).abs().mean()


def l2(sr: Any, hr: Any) -> Any:
    """Mean squared difference of two float32 tensors."""
    return (sr - hr).square().mean()


def charbonnier(sr: Any, hr: Any) -> Any:
    """Mean of sqrt(difference^2 + epsilon^2): L1 with a round corner at 0."""
    return ((sr - hr).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


# name -> function(sr, hr) of float32 tensors (N, C, H, W) in [0, 1] that gives a tensor of shape ()
LOSSES: dict[str, Callable[[Any, Any], Any]] = {"l1": l1, "l2": l2, "charbonnier": charbonnier}
