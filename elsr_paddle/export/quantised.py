"""Quantise a network to 8-bit integers from what its values are on photos, without training.

Features get one step for all channels, as runtimes ask for, and weights one a channel. Six things
keep the loss small: photos are seen in full contrast as well; features are equalised, so that the
channels on which the result depends most fill the range; the channel that carries the picture is
given twice; rectifiers and sums share the scale of what they read where the result gains by it;
scales are those of the least error of the result; and each convolution is fitted to what was
rounded before it.

Sources: arXiv 1712.05877 (the arithmetic), arXiv 2210.17323 (weights rounded one after the other).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.export.doubling import doubled, set_apart
from elsr_paddle.export.equalisation import equalised
from elsr_paddle.export.features import SHRUNK, features_of
from elsr_paddle.export.groups import HOMOGENEOUS
from elsr_paddle.export.steps import HIGHEST, LOWEST, PIXELS, Step
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph, outputs
from elsr_paddle.networks.rewrites import folded

_FINER = 0.93  # by which a scale is moved to see whether the result gains
_DAMPING = 1e-4  # of the mean variance of the taps, for those that hardly vary
_LEAST = 1e-9  # added to each variance, for photos of one colour
_WINDOWS = 128, 256  # pixels of a side of a photo that are looked at, least and most
_WORK = 2e8  # multiply-adds of a photo that set the side in between
_DARKEST = 1  # percent of a photo's values, which become black, and as many white
_TAPS = 2**13  # pixels of a photo that convolutions are fitted on


# Runtimes fix the steps of these operations.
_FIXED = {ops.Tanh: Step(1 / 128, 0), ops.Sigmoid: Step(1 / 256, LOWEST)}
_KEEPING = (ops.PixelShuffle,)  # the output is the input at other places


@dataclass(frozen=True, eq=False)
class Quantised:
    """A network of 8-bit integers.

    Attributes
    ----------
    graph : Graph, folded, equalised and doubled, on 0..1; its arrays are what the integers stand
        for.
    steps : list of Step, of every node's output
    weight_scales : dict of str -> float32 array (outputs,), of the kernels, whose zero is 0
    """

    graph: Graph
    steps: list[Step]
    weight_scales: dict

    def weights(self, op: ops.Conv) -> np.ndarray:
        """int8 array (out, in, k, k)."""
        scales = self.weight_scales[op.weight][:, None, None, None]
        return np.rint(self.graph.arrays[op.weight] / scales).astype(np.int8)

    def bias_scales(self, index: int) -> np.ndarray:
        """float32 array (outputs,), of the bias of a convolution."""
        node = self.graph.nodes[index]
        source = np.float32(self.steps[node.sources[0]].scale)
        return source * self.weight_scales[node.op.weight]

    def bias(self, index: int) -> np.ndarray:
        """int32 array (outputs,), of the convolution at a node."""
        bias = self.graph.arrays[self.graph.nodes[index].op.bias]
        return np.rint(bias / self.bias_scales(index)).astype(np.int32)

    def outputs(self, picture: np.ndarray) -> list[np.ndarray]:
        """What every node gives for a uint8 picture (H, W, C): float32 arrays (C, H, W)."""
        return _run(self.graph, picture, self.steps)


def quantise(graph: Graph, photos: Sequence[np.ndarray]) -> Quantised:
    """Quantise a network on LR photos.

    Parameters
    ----------
    graph : Graph with arrays
    photos : sequence of uint8 arrays (H, W, channels), such as the network enlarges

    Raises
    ------
    InputError without photos.
    """
    if not photos:
        raise InputError("expected photos to calibrate integers on but got none")
    side = int(np.clip(np.sqrt(_WORK / graph.multiply_adds), *_WINDOWS))
    middles = [_middle(photo, side) for photo in photos]
    photos = [*middles, *map(_of_full_contrast, middles)]
    graph, copied = doubled(equalised(folded(graph), photos), photos)
    known = [outputs(graph, photo, np.float32) for photo in photos]
    steps = _Search(graph, photos, known).steps()
    return _fitted(graph, steps, set_apart(known, copied, steps))


def _middle(photo, window):
    """Of a large photo its middle, which is enough."""
    top, left = (max(0, (side - window) // 2) for side in photo.shape[:2])
    return photo[top : top + window, left : left + window]


def _of_full_contrast(photo):
    """With black and white areas, which few photos have and where features are largest."""
    low, high = np.percentile(photo, (_DARKEST, 100 - _DARKEST))
    levels = np.rint((np.float32(photo) - low) * (255 / max(high - low, 1)))
    return levels.clip(0, 255).astype(np.uint8)


def _run(graph, picture, steps):
    """Every node's output, float32, rounded to the steps."""
    found = [steps[0].rounded(picture.transpose(2, 0, 1) / np.float32(255))]
    for node, step in zip(graph.nodes[1:], steps[1:]):
        given = (found[source] for source in node.sources)
        found.append(step.rounded(node.op.apply(graph.arrays, *given)))
    return found


class _Search:
    """Finds the step of every node's output.

    Each begins with the step of the least error over its own values, as those that read it see
    them. Then rectifiers and sums take the scale of what they read where the result gains by it:
    nothing is rounded where scales are equal. At last each scale is moved as long as the result
    gains.
    """

    def __init__(self, graph, photos, known):
        self._graph, self._photos, self._known = graph, photos, known
        self._fixed = {0: PIXELS, **dict.fromkeys(_up_to_the_result(graph), PIXELS)}
        for index, node in enumerate(graph.nodes):
            if type(node.op) in _FIXED:
                self._fixed[index] = _FIXED[type(node.op)]
            elif isinstance(node.op, _KEEPING) and node.sources[0] in self._fixed:
                self._fixed[index] = self._fixed[node.sources[0]]
        self._features = features_of(
            graph, photos, known, set(range(len(graph.nodes))) - self._fixed.keys())

    def steps(self):
        """list of Step"""
        scales = {index: each.best_step().scale for index, each in self._features.items()}
        groups = {index: frozenset([index]) for index in scales}  # those of one scale
        for index, node in enumerate(self._graph.nodes):
            if isinstance(node.op, _KEEPING) and index in scales:
                scales, groups = _tied(scales, groups, [index, *node.sources])
        scales, groups, error = self._tie(scales, groups)
        for group in sorted(set(groups.values()), key=min):
            scales, error = self._move(scales, group, error)
        return self._as_steps(scales)

    def _tie(self, scales, groups):
        error = self._error(scales)
        for index, node in enumerate(self._graph.nodes):
            members = [index, *node.sources]
            if not isinstance(node.op, HOMOGENEOUS) or any(i in self._fixed for i in members):
                continue
            tied = _tied(scales, groups, members)
            found = self._error(tied[0])
            if found < error:
                (scales, groups), error = tied, found
        return scales, groups, error

    def _move(self, scales, group, error):
        for factor in (_FINER, 1 / _FINER):
            while True:
                moved = {**scales, **{index: scales[index] * factor for index in group}}
                found = self._error(moved)
                if not found < error:
                    break
                scales, error = moved, found
        return scales, error

    def _error(self, scales):
        """Mean square error of the result, which ends at black and white."""
        steps = self._as_steps(scales)
        results = [_run(self._graph, photo, steps)[-1] for photo in self._photos]
        return np.mean([np.square(result - values[-1].clip(0, 1)).mean()
                        for result, values in zip(results, self._known)])

    def _as_steps(self, scales):
        return [self._fixed.get(index) or self._features[index].step(scales[index])
                for index in range(len(self._graph.nodes))]


def _tied(scales, groups, members):
    """With the groups of some nodes made one, of the coarsest of their scales."""
    joined = frozenset().union(*(groups[index] for index in members))
    scale = max(scales[index] for index in joined)
    return {**scales, **dict.fromkeys(joined, scale)}, {**groups, **dict.fromkeys(joined, joined)}


def _up_to_the_result(graph):
    """The last node, and those before it whose values it only moves."""
    index, found = len(graph.nodes) - 1, []
    while True:
        found.append(index)
        op = graph.nodes[index].op
        if type(op) in _FIXED:
            raise ops.Unsupported(f"a network of integers has no {op.title} at its end")
        if not isinstance(op, _KEEPING):
            return found
        index = graph.nodes[index].sources[0]


def _fitted(graph, steps, known):
    """With integer weights; each convolution makes up for what was rounded before it."""
    arrays, scales = dict(graph.arrays), {}
    made = Quantised(replace(graph, arrays=arrays), steps, scales)
    found = [[] for _ in known]
    for index, node in enumerate(graph.nodes):
        given = [[values[source] for source in node.sources] for values in found]
        if isinstance(node.op, ops.Conv):
            kernel, bias, scale = _fit(node.op, arrays[node.op.weight],
                                       [inputs[0] for inputs in given],
                                       [values[index] for values in known])
            arrays[node.op.weight], scales[node.op.weight] = kernel, scale
            arrays[node.op.bias] = bias
            arrays[node.op.bias] = made.bias(index) * made.bias_scales(index)
        for values, inputs, exact in zip(found, given, known):
            value = node.op.apply(arrays, *inputs) if inputs else exact[index]
            values.append(steps[index].rounded(value))
    return made


def _fit(op, kernel, inputs, wanted):
    """Integer weights for which a convolution of rounded inputs comes nearest to what is wanted.

    Returns
    -------
    kernel : float32 array (out, in, k, k), multiples of the scales
    bias : float32 array (out,)
    scales : float32 array (out,)
    """
    moments = _Moments(op)
    for features, exact in zip(inputs, wanted):
        moments.add(features, exact)
    covariance, best = moments.solve(kernel.reshape(len(kernel), -1))
    tried = [_rounded(best, covariance, share) for share in SHRUNK[:5]]
    errors = [np.einsum("oi,ij,oj->o", rounded - best, covariance, rounded - best)
              for rounded, _ in tried]
    choice = np.argmin(errors, axis=0)
    rows = np.arange(len(choice))
    rounded, scales = (np.stack(parts)[choice, rows] for parts in zip(*tried))
    return np.float32(rounded).reshape(kernel.shape), moments.bias(rounded), scales


class _Moments:
    """Means and covariances of a convolution's inputs, tap by tap, and of its outputs."""

    def __init__(self, op):
        self._op, self._count = op, 0
        taps = op.inputs * op.kernel**2
        self._sum, self._squares = np.zeros(taps), np.zeros((taps, taps))
        self._wanted, self._products = np.zeros(op.outputs), np.zeros((op.outputs, taps))

    def add(self, features, outputs):
        columns = _columns(self._op, features)  # (pixels, taps)
        outputs = outputs.reshape(len(outputs), -1)  # (outputs, pixels)
        some = slice(None, None, max(1, len(columns) // _TAPS))
        columns, outputs = np.float64(columns[some]), np.float64(outputs[:, some])
        self._count += len(columns)
        self._sum += columns.sum(axis=0)
        self._squares += columns.T @ columns
        self._wanted += outputs.sum(axis=1)
        self._products += outputs @ columns

    def solve(self, weights):
        """Covariance of the taps, and the weights (out, taps) that give what is wanted best; those
        of taps that never vary stay near what they are."""
        mean = self._sum / self._count
        covariance = self._squares / self._count - np.outer(mean, mean)
        products = self._products / self._count - np.outer(self._wanted / self._count, mean)
        rest = products - weights @ covariance
        damping = _DAMPING * np.trace(covariance) / len(mean) + _LEAST
        covariance += damping * np.eye(len(mean))
        return covariance, weights + np.linalg.solve(covariance, rest.T).T

    def bias(self, weights):
        return np.float32((self._wanted - weights @ self._sum) / self._count)


def _columns(op, features):
    """What each tap of a convolution reads: (C, H, W) -> (H * W, C * k * k)."""
    mode = "constant" if op.padding == "zero" else "edge"
    padded = np.pad(features, ((0, 0), *[(op.reach, op.reach)] * 2), mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (op.kernel, op.kernel), (1, 2))
    return windows.transpose(1, 2, 0, 3, 4).reshape(-1, op.inputs * op.kernel**2)


def _rounded(weights, covariance, share):
    """Weights (out, taps) rounded one tap after the other; the later ones make up for it.

    Source: GPTQ, arXiv 2210.17323.

    Returns
    -------
    (weights, multiples of the scales; scales, float32 (out,))
    """
    scales = np.float32(share * np.maximum(np.abs(weights).max(axis=1), 1e-8) / HIGHEST)
    rest = weights.copy()
    factor = np.linalg.cholesky(np.linalg.inv(covariance)).T  # upper
    for tap in range(rest.shape[1]):
        integers = np.rint(rest[:, tap] / scales).clip(-HIGHEST, HIGHEST)
        error = (rest[:, tap] - integers * scales) / factor[tap, tap]
        rest[:, tap] = integers * scales
        rest[:, tap + 1 :] -= np.outer(error, factor[tap, tap + 1 :])
    return rest, scales
