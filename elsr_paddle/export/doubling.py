"""Give the channel that carries the picture twice, so that rounding it costs a quarter.

In most networks one channel of the features holds nearly the picture itself, and rounding it
makes a large part of the error of the result. Two copies of it that lie half a step apart are,
together, as one channel of half the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elsr_paddle.export.features import features_of
from elsr_paddle.export.groups import groups, readers
from elsr_paddle.export.steps import Step
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph, outputs
from elsr_paddle.networks.rewrites import reorder_arrays

LEAST_SHARE = 1 / 3  # of the error of all features: what a channel makes that is doubled


def doubled(graph: Graph, photos: Sequence[np.ndarray]) -> tuple[Graph, list[int]]:
    """With the channel that makes most of the error given twice, if it makes a third or more.

    Parameters
    ----------
    graph : Graph, folded and equalised
    photos : sequence of uint8 arrays (H, W, channels)

    Returns
    -------
    graph : Graph, of the same result; the one given where no channel makes so much of the error
    convolutions : list of int, the nodes whose last output is the copy
    """
    known = [outputs(graph, photo, np.float32) for photo in photos]
    errors = {tuple(group): _errors(features_of(graph, photos, known, group).values())
              for group in groups(graph)}
    group = max(errors, key=lambda group: errors[group].max(), default=())
    if not group or errors[group].max() < LEAST_SHARE * sum(map(np.sum, errors.values())):
        return graph, []
    made = _with_a_copy(graph, group, errors[group].argmax())
    return made, [index for index in group if isinstance(graph.nodes[index].op, ops.Conv)]


def set_apart(known: Sequence, convolutions: Sequence[int], steps: Sequence[Step]) -> list:
    """What nodes give, with the copies moved by half a step.

    Parameters
    ----------
    known : what every node gives for each photo
    convolutions : as `doubled` returned them
    steps : of every node's output

    Returns
    -------
    list as `known`
    """
    moved = [list(values) for values in known]
    for values in moved:
        for index in convolutions:
            values[index] = values[index].copy()
            values[index][-1] += steps[index].scale / 2
    return moved


def _errors(features):
    """Error of the result that each channel of a group makes, float array (channels,)."""
    best = [(each, each.best_step()) for each in features]
    return sum(each.errors(step.scale, step.zero) for each, step in best)


def _with_a_copy(graph, group, channel):
    """With a channel of a group once more, behind the others."""
    nodes, arrays = list(graph.nodes), dict(graph.arrays)
    for index in group:
        op = nodes[index].op
        order = [*range(graph.widths[index]), channel]
        if isinstance(op, ops.Conv):
            nodes[index] = replace(nodes[index], op=replace(op, outputs=len(order)))
        elif isinstance(op, ops.PReLU):
            nodes[index] = replace(nodes[index], op=replace(op, size=len(order)))
        reorder_arrays(arrays, op, order)
    for index in readers(graph, group):
        op = nodes[index].op
        halved = arrays[op.weight].copy()
        halved[:, channel] /= 2
        arrays[op.weight] = np.append(halved, halved[:, [channel]], axis=1)
        nodes[index] = replace(nodes[index], op=replace(op, inputs=op.inputs + 1))
    return replace(graph, nodes=tuple(nodes), arrays=arrays)
