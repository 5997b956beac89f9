"""Run what was exported in its own runtime, and compare it with the network in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elsr_paddle.export.format import ExportOptions, Format, as_channels
from elsr_paddle.networks.graph import Graph, evaluate
from elsr_paddle.networks.weights import Trained

SIZE = (40, 24)  # width and height of the pictures where the format takes any
WINDOW = 96  # LR pixels of a side that are compared of a larger picture


@dataclass(frozen=True)
class Verified:
    """How far an export is from its network.

    Attributes
    ----------
    largest : float, the largest difference of a pixel, in levels
    rms : float, the root of the mean square of all differences, in levels
    """

    largest: float
    rms: float


def verify(kind: Format, enlarge: Callable, trained: Trained, options: ExportOptions) -> Verified:
    """Compare an export, run in a runtime, with the reference on two pictures.

    Formats that are calibrated on photos are compared on the second one alone: noise has values
    that photos do not have.

    Parameters
    ----------
    kind : Format that wrote the files
    enlarge : callable, picture -> picture, as `Format.run` with the files
    trained : Trained that was exported
    options : ExportOptions that it was exported with

    Raises
    ------
    InputError if the runtime is missing.
    """
    calibrated = "photos" in kind.obeys
    fixed = options.size if "size" in kind.obeys else None
    differences = [_difference(enlarge(image), image, trained.graph)
                   for image in pictures(*(fixed or SIZE), trained.channels)[calibrated:]]
    both = np.concatenate([found.ravel() for found in differences])
    return Verified(float(np.abs(both).max()), float(np.sqrt(np.mean(both**2))))


def _difference(pixels, image, graph):
    """Levels, float64: those of the upper left window of a large picture."""
    expected = _reference(graph, as_channels(image)).clip(0, 255)
    height, width = expected.shape[:2]
    found = pixels.reshape(*pixels.shape[:2], -1)[:height, :width].astype(np.float64)
    return found.clip(0, 255) - expected


def _reference(graph: Graph, picture):
    """The network in float64; of a large picture its upper left window."""
    if graph.radius is None:
        return evaluate(graph, picture)
    beyond = WINDOW + graph.radius
    return evaluate(graph, picture[:beyond, :beyond])[: WINDOW * graph.scale,
                                                      : WINDOW * graph.scale]


def pictures(width: int, height: int, channels: int) -> list[np.ndarray]:
    """A picture of noise, which takes every value, and one that is smooth with edges, as photos.

    Parameters
    ----------
    width, height : int
    channels : int, 3 for RGB, 1 for luma

    Returns
    -------
    list of uint8 arrays (H, W, 3) or (H, W)
    """
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x[..., None] / rng.uniform(4, 9, channels))
    waves = waves * np.cos(y[..., None] / rng.uniform(4, 9, channels))
    edges = 60.0 * (2 * x + y > width)[..., None]
    smooth = (100 + 80 * waves + edges).clip(0, 255).astype(np.uint8)
    return [picture[:, :, 0] if channels == 1 else picture for picture in (noise, smooth)]
