"""Inspect a trained network: how exact its engine is, and which values its operations hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elsr_paddle.engines.engine import Engine
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.networks.graph import Graph, evaluate, outputs


@dataclass(frozen=True)
class EngineError:
    """How far an engine's images are from the network in float64, rounded.

    Attributes
    ----------
    levels : int, the largest difference, of 255
    share : float, of the values that differ at all
    """

    levels: int
    share: float

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


def engine_error(graph: Graph, engine: Engine, images: Iterable[np.ndarray]) -> EngineError:
    """Compare an engine with the reference in float64.

    Parameters
    ----------
    graph : Graph with arrays
    engine : Engine of the same network
    images : iterable of uint8 (H, W, 3), LR
    """
    largest = different = count = 0
    for image in images:
        read = _read_by(graph, image)
        expected = np.rint(evaluate(graph, read).clip(0, 255))
        difference = np.abs(_enlarged(engine, read) - expected)
        largest = max(largest, int(difference.max()))
        different += int(np.count_nonzero(difference))
        count += difference.size
    return EngineError(largest, different / count)


def _read_by(graph, image):
    """What a network reads of an RGB image: all of it, or its luma as (H, W, 1)."""
    return image if graph.channels == 3 else rgb_to_luma(image)[:, :, None]


def _enlarged(engine, read):
    if engine.channels == 3:
        return engine.upscale(read)
    return engine.upscale_plane(read[:, :, 0])[:, :, None]


@dataclass(frozen=True)
class ValueRange:
    """Least and greatest value of one operation of a network.

    Attributes
    ----------
    layer : str, the operation in words
    weights, biases : (float, float) of its kernel or slopes, and of its biases; None without any
    outputs : (float, float) over all images, whose own range is [0, 1]
    """

    layer: str
    weights: tuple[float, float] | None
    biases: tuple[float, float] | None
    outputs: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


def value_ranges(graph: Graph, images: Iterable[np.ndarray]) -> list[ValueRange]:
    """The ranges of what the operations of a network hold, in their order.

    Parameters
    ----------
    graph : Graph with arrays
    images : iterable of uint8 (H, W, 3), LR; not empty
    """
    spans = [[_span(values) for values in outputs(graph, _read_by(graph, image))]
             for image in images]  # one list an image, one span an operation
    return [_value_range(node.op, graph.arrays, found)
            for node, *found in list(zip(graph.nodes, *spans))[1:]]  # the first is the input


def _value_range(op, arrays, spans):
    held = {name.rpartition(".")[2]: _span(arrays[name]) for name in op.parameters()}
    lows, highs = zip(*spans)
    return ValueRange(op.describe(), held.get("weight"), held.get("bias"),
                      (min(lows), max(highs)))


def _span(values):
    return float(values.min()), float(values.max())
