"""Share the flags of how often, and in which colours, a network is run for a picture."""

from __future__ import annotations

import argparse
from typing import Any

PASSES = (1, 2)
COLOUR_SPACES = ("ycbcr", "rgb", "yuv")  # those of imaging.colour_spaces: --help waits for no numpy


def add_variations(group: argparse._ActionsContainer) -> None:
    """Add --self-ensemble, --passes, --strength and --colour-space."""
    group.add_argument("--self-ensemble", action="store_true", help="the mean of eight pictures, "
                       "turned and mirrored: eight times the time for some hundredths of a dB")
    group.add_argument("--passes", type=int, choices=PASSES, default=PASSES[0], help="2: enlarge "
                       "by x2 twice instead of by x4 once (default: %(default)s)")
    group.add_argument("--strength", type=_share, default=1.0, metavar="S", help="share of the "
                       "network in the picture, from 0 (bicubic) to 1: less takes back what it "
                       "sharpens, rings and gets wrong alike (default: %(default)s)")
    group.add_argument("--colour-space", choices=COLOUR_SPACES, default="ycbcr", help="of pictures "
                       "for a network on luma: ycbcr leaves the colours to bicubic, rgb and yuv "
                       "take each plane through the network (default: %(default)s)")


def variations(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of `EngineOptions` that the flags mean."""
    names = ("self_ensemble", "passes", "strength", "colour_space")
    return {name: getattr(args, name) for name in names}


def _share(text):
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1 but got {text!r}")
    return share
