"""Tell how much the result of a network suffers when features are rounded to integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from elsr_paddle.export.steps import HIGHEST, LOWEST, Step
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph, outputs

SHRUNK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)  # of the full range, that are tried
ZEROS = range(LOWEST, HIGHEST + 1, 15)  # integers that may stand for zero
_RECTIFIERS = (ops.PReLU, ops.ReLU, ops.LeakyReLU)
_SAMPLES = 2**11  # pixels of a photo that steps are set by
_PROBED = 40  # pixels of a side of a photo on which sensitivities are found
_NOISE = 2.0**-7  # of the largest value: what is added to see how the result changes


class Feature:
    """The output of a node on photos, and how much errors in each of its channels matter.

    Where a rectifier alone reads it, errors are those behind the rectifier: what it takes away may
    be wrong.

    Parameters
    ----------
    graph : Graph
    known : what every node gives for each photo
    weights : float array (channels,), mean square error of the result for noise of variance 1 in
        the values as they are read
    index : int, of the node
    """

    def __init__(self, graph, known, weights, index):
        sample = [values[index].reshape(len(values[index]), -1) for values in known]
        self.values = np.concatenate([each[:, :: max(1, each.shape[1] // _SAMPLES)]
                                      for each in sample], axis=1)  # (channels, pixels)
        self._graph, self._weights, self._steps = graph, weights, {}
        self._rectifier = _rectifier(graph, index)
        self._read = self._as_read(self.values)

    def _as_read(self, values):
        if self._rectifier is None:
            return values
        return self._rectifier.apply(self._graph.arrays, values[:, :, None])[:, :, 0]

    def errors(self, scales: np.ndarray | float, zero: int) -> np.ndarray:
        """Mean square error of the result that each channel makes, once rounded.

        Parameters
        ----------
        scales : float, or float array (channels, 1)
        zero : int, that stands for zero

        Returns
        -------
        float array (channels,)
        """
        rounded = Step(scales, zero).rounded(self.values)
        return np.square(self._as_read(rounded) - self._read).mean(axis=1) * self._weights

    def step(self, scale: float) -> Step:
        """The Step of a scale whose zero makes the least error."""
        scale = float(np.float32(scale))
        if scale not in self._steps:
            zero = min(ZEROS, key=lambda zero: self.errors(scale, zero).sum())
            self._steps[scale] = Step(scale, zero)
        return self._steps[scale]

    def best_step(self) -> Step:
        """The Step of the least error."""
        full = max(float(np.ptp(np.append(self.values, 0))), 1e-6) / (HIGHEST - LOWEST)
        tried = (self.step(share * full) for share in SHRUNK)
        return min(tried, key=lambda step: self.errors(step.scale, step.zero).sum())


def _rectifier(graph, index):
    """The operation, if it alone reads a node; else None."""
    readers = graph.readers[index]
    op = graph.nodes[readers[0]].op if len(readers) == 1 else None
    return op if isinstance(op, _RECTIFIERS) else None


def features_of(graph: Graph, photos: Sequence[np.ndarray], known: Sequence,
                indices: Iterable[int]) -> dict[int, Feature]:
    """The features of some nodes, by index.

    Parameters
    ----------
    graph : Graph, folded
    photos : sequence of uint8 arrays (H, W, channels)
    known : what every node gives for each photo
    indices : iterable of int
    """
    probed = [outputs(graph, photo[:_PROBED, :_PROBED], np.float32) for photo in photos]
    return {index: Feature(graph, known, _sensitivity(graph, probed, _read_at(graph, index)), index)
            for index in indices}


def _read_at(graph, index):
    return index if _rectifier(graph, index) is None else graph.readers[index][0]


def _sensitivity(graph, probed, index):
    """Mean square error of the result for noise of variance 1, float array (channels,)."""
    rng = np.random.default_rng(index)
    total = np.zeros(len(probed[0][index]))
    for found in probed:
        values = found[index]
        amount = _NOISE * max(float(np.abs(values).max()), 1e-6)
        for channel in range(len(values)):
            changed = values.copy()
            changed[channel] += rng.choice(np.float32([-amount, amount]), values.shape[1:])
            error = _result(graph, found, index, changed) - found[-1]
            total[channel] += np.square(error).mean() / amount**2
    return total / len(probed)


def _result(graph, found, index, value):
    """What the network gives if a node gives another value."""
    changed = {index: value}
    for later in range(index + 1, len(graph.nodes)):
        node = graph.nodes[later]
        if not changed.keys().isdisjoint(node.sources):
            given = (changed.get(source, found[source]) for source in node.sources)
            changed[later] = node.op.apply(graph.arrays, *given)
    return changed[len(found) - 1]
