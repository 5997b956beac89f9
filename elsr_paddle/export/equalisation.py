"""Scale the channels of features so that rounding them in one step harms the result least.

Source: arXiv 1906.04721, which equalises ranges. Here ranges are weighed by how much the result
depends on each channel, and have their zero where that costs least: the channel that carries the
picture itself, of positive values, gets nearly all of the integers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elsr_paddle.export.features import ZEROS, features_of
from elsr_paddle.export.groups import groups, readers
from elsr_paddle.export.steps import HIGHEST, LOWEST
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph, outputs

_FINER = np.geomspace(0.6, 6, 14)  # scales, in 255ths of the largest value, that are tried
_TURNS = 4
_LEAST = 1 / 16  # of the largest factor: no channel is made larger by more


def equalised(graph: Graph, photos: Sequence[np.ndarray]) -> Graph:
    """With every channel of the features between two convolutions in the range that suits it.

    Convolutions divide their outputs and multiply their inputs by a positive factor a channel,
    which additions and rectifiers in between leave alone.

    Parameters
    ----------
    graph : Graph, folded
    photos : sequence of uint8 arrays (H, W, channels)
    """
    known = [outputs(graph, photo, np.float32) for photo in photos]
    found = groups(graph)
    features = features_of(graph, photos, known, itertools.chain(*found))
    arrays = dict(graph.arrays)
    for group in found:
        factors = _factors([features[index] for index in group])
        for index in group:
            op = graph.nodes[index].op
            if isinstance(op, ops.Conv):
                arrays[op.weight] = arrays[op.weight] / factors[:, None, None, None]
                arrays[op.bias] = arrays[op.bias] / factors
        for reader in readers(graph, group):
            weight = graph.nodes[reader].op.weight
            arrays[weight] = arrays[weight] * factors[:, None, None]
    return replace(graph, arrays=arrays)


def _factors(features):
    """float32 array (channels,), of at most 1: what each channel is divided by.

    All features of a group have one scale, and each a zero of its own. Zeros and factors take turns
    in making the error smaller.
    """
    units = np.max([np.abs(each.values).max(axis=1) for each in features], axis=0)
    units = np.maximum(units, 1e-12) / (HIGHEST - LOWEST)
    errors = np.array([[[each.errors(finer * units[:, None], zero) for finer in _FINER]
                        for zero in ZEROS] for each in features])  # (features, zeros, finer, C)
    common = errors.sum(axis=0).min(axis=1).sum(axis=1).argmin()
    zeros = [common] * len(features)
    for _ in range(_TURNS):
        choice = sum(each[zero] for each, zero in zip(errors, zeros)).argmin(axis=0)  # (C,)
        zeros = [each[:, choice, np.arange(len(units))].sum(axis=1).argmin() for each in errors]
    best = units * _FINER[choice]
    return np.float32(np.maximum(best / best.max(), _LEAST))
