"""Score a restored image under a protocol: in which colour, without which border, from which LR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elsr_paddle.data.degradations import DEGRADATIONS
from elsr_paddle.imaging.luma import rgb_to_y
from elsr_paddle.imaging.metrics import psnr, ssim
from elsr_paddle.imaging.resize import imresize, opencv_cubic
from elsr_paddle.options import check, option


@dataclass(frozen=True)
class Protocol:
    """How images are compared; figures of two protocols cannot stand in one table.

    Attributes
    ----------
    name : str
    colour : str, "y" (BT.601 luma) or "rgb"
    crops_border : bool, whether `scale` pixels on each side are left out
    degradation : str, how LR is made from HR unless another way is asked for
    enlarge : callable, bicubic: (uint8 image, (height, width)) -> uint8 image
    """

    name: str
    colour: str
    crops_border: bool
    degradation: str
    enlarge: Callable

    def border(self, scale: int) -> int:
        """Pixels left out on each side."""
        return scale if self.crops_border else 0


def _matlab_bicubic(image, size):
    return imresize(image, size=size)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("y", "y", True, "bicubic", _matlab_bicubic),  # the tables of stills
        Protocol("rgb", "rgb", False, "bicubic", _matlab_bicubic),  # REDS and its challenges
        Protocol("port", "rgb", False, "opencv_cubic", opencv_cubic),  # the script of ELSR-torch
    )
}


@dataclass(frozen=True)
class EvaluationOptions:
    """How networks of one scale are evaluated.

    Attributes
    ----------
    scale : int, of the networks
    protocol : str, a name in `PROTOCOLS`
    degradation : str, a name in `degradations.DEGRADATIONS`; None takes the protocol's.

    Raises
    ------
    InputError for a name that does not exist or a scale below 1.
    """

    scale: int = option(minimum=1)
    protocol: str = option(
        "y", "y: luma, border of `scale` pixels left out (stills in papers); rgb: full frame "
        "(REDS); port: as ELSR-torch, with OpenCV's cubic", choices=tuple(PROTOCOLS))
    degradation: str | None = option(
        None, "how LR is made (default: the protocol's)", choices=tuple(DEGRADATIONS))

    def __post_init__(self):
        check(self)

    @property
    def rules(self) -> Protocol:
        """The protocol itself."""
        return PROTOCOLS[self.protocol]

    @property
    def lr_kind(self) -> str:
        """How LR is made, a name in `degradations.DEGRADATIONS`."""
        return self.degradation or self.rules.degradation


@dataclass(frozen=True)
class Score:
    """How near an image comes to another one.

    Attributes
    ----------
    psnr_db : float, inf when they are equal
    ssim : float, at most 1; None where it was not asked for
    """

    psnr_db: float
    ssim: float | None


def score(
    reference: np.ndarray,
    restored: np.ndarray,
    protocol: Protocol,
    *,
    scale: int,
    gray: bool = False,
    structure: bool = True,
) -> Score:
    """PSNR and SSIM of a restored image, in the colour and without the border of a protocol.

    Parameters
    ----------
    reference, restored : uint8 arrays, shape (H, W, 3), RGB
    protocol : Protocol
    scale : int, decides the border
    gray : bool, the reference comes from a gray file; see `rgb_to_y`.
    structure : bool, whether SSIM, which costs most of the time, is wanted

    Raises
    ------
    InputError if the shapes differ or too little is left inside the border.
    """
    if protocol.colour == "y":
        # The reference in whole levels, as MATLAB's rgb2ycbcr gives it: so the bicubic baselines of
        # Set5, Set14 and B100 at x2, x3 and x4 come out within 0.008 dB of the published ones.
        reference, restored = np.rint(rgb_to_y(reference, gray)), rgb_to_y(restored, gray)
    border = protocol.border(scale)
    similarity = ssim(reference, restored, crop_border=border) if structure else None
    return Score(psnr(reference, restored, crop_border=border), similarity)


def flicker(
    reference: tuple[np.ndarray, np.ndarray],
    restored: tuple[np.ndarray, np.ndarray],
    protocol: Protocol,
    *,
    scale: int,
) -> float:
    """PSNR of the change from one frame to the next, dB: the lower, the more a clip flickers.

    What a method adds to each frame alike does not count, nor does what it leaves out of both.

    Parameters
    ----------
    reference, restored : pairs of uint8 arrays, shape (H, W, 3), RGB: a frame and the next one
    protocol : Protocol
    scale : int, decides the border
    """
    turn = rgb_to_y if protocol.colour == "y" else np.float64
    wanted, found = (turn(after) - turn(before) for before, after in (reference, restored))
    return psnr(wanted, found, crop_border=protocol.border(scale))
