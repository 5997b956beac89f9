"""Score a network while it is trained, beside bicubic on the same pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from elsr_paddle.data.pairs import Pairs
from elsr_paddle.evaluation.compare import mean_psnr
from elsr_paddle.framework import use_tf32
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks.paddle_layer import PaddleNetwork, enlarge
from elsr_paddle.training.run import Run


def make_validation(run: Run, pairs: Pairs) -> Callable[[PaddleNetwork], dict[str, float]]:
    """A function that scores a network; bicubic's own score is computed once.

    Parameters
    ----------
    run : Run, whose `val_rows` pairs are taken
    pairs : Pairs

    Returns
    -------
    callable, PaddleNetwork -> dict of `runs.SCORES`
    """
    bicubic = mean_psnr(lambda lr: imresize(lr, scale=pairs.scale), pairs, run.val_rows)

    def validate(network):
        use_tf32(False)
        try:
            reached = mean_psnr(image_function(network), pairs, run.val_rows)
        finally:
            use_tf32(not run.deterministic)
        return {f"{method}_{name}": value for method, found in
                (("psnr", reached), ("bicubic", bicubic)) for name, value in found.items()}

    return validate


def image_function(model: PaddleNetwork) -> Callable[[np.ndarray], np.ndarray]:
    """A network as a function from RGB image to RGB image, both uint8 (H, W, 3)."""
    if model.channels == 3:
        return partial(enlarge, model)

    def upscale_plane(luma):
        return enlarge(model, luma[..., None])[..., 0]  # (H, W) -> (H, W, 1) -> (s*H, s*W)

    return partial(upscale_by_luma, upscale_plane=upscale_plane)
