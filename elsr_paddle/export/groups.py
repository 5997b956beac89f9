"""Find features that a change of their channels passes through, up to the next convolutions."""

from __future__ import annotations

from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph

HOMOGENEOUS = (ops.PReLU, ops.ReLU, ops.LeakyReLU, ops.Add)  # equalised channel by channel


def groups(graph: Graph) -> list[list[int]]:
    """Nodes whose channels must be changed alike, where convolutions are all around them.

    Each group holds convolutions, and the additions and rectifiers behind them.
    """
    group_of = list(range(len(graph.nodes)))
    for index, node in enumerate(graph.nodes):
        if isinstance(node.op, HOMOGENEOUS):
            joined = {group_of[index], *(group_of[source] for source in node.sources)}
            group_of = [min(joined) if group in joined else group for group in group_of]
    found = [[i for i, group in enumerate(group_of) if group == first]
             for first in sorted(set(group_of))]
    return [group for group in found if _is_between_convolutions(graph, group)]


def readers(graph: Graph, group: list[int]) -> set[int]:
    """Convolutions that read a group; some may belong to it, as that of a residual block does."""
    return {reader for reader in _readers(graph, group)
            if isinstance(graph.nodes[reader].op, ops.Conv)}


def _readers(graph, group):
    return {reader for index in group for reader in graph.readers[index]}


def _is_between_convolutions(graph, group):
    inside = all(isinstance(graph.nodes[i].op, (ops.Conv, *HOMOGENEOUS)) for i in group)
    outside = _readers(graph, group) - set(group)
    return (inside and len(graph.nodes) - 1 not in group
            and all(isinstance(graph.nodes[i].op, ops.Conv) for i in outside))
