"""Shuffle pixels on bytes: the last step of the engines whose runtimes are slow at it."""

from __future__ import annotations

import numpy as np

from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import Graph
from elsr_paddle.networks.rewrites import folded, interleaved, on_levels


def split_shuffle(graph: Graph) -> tuple[Graph, int]:
    """The network on levels, and the pixel shuffle that is left to `shuffle`.

    Returns
    -------
    graph : Graph on 0..255, folded. Where the network ends in a pixel shuffle, the graph still
        does, with the channels before it in the order of the bytes of a picture; that last node is
        what an engine leaves out.
    scale : int, of that pixel shuffle; 1 where the network ends in something else.
    """
    graph = on_levels(folded(graph))
    if not isinstance(graph.nodes[-1].op, ops.PixelShuffle):
        return graph, 1
    return interleaved(graph), graph.nodes[-1].op.scale


def shuffle(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Put the bytes of a network with interleaved channels where the picture has them.

    Parameters
    ----------
    pixels : uint8 array, shape (1, H, W, scale*scale*C), contiguous, channels in (i, j, c) order
    scale : int

    Returns
    -------
    uint8 array, shape (scale*H, scale*W, C)
    """
    height, width, values = pixels.shape[1:]
    if scale == 1:
        return pixels[0]
    run = np.dtype((np.void, values // scale))  # bytes that stay together: numpy moves them as one
    blocks = pixels.view(run).reshape(height, width, scale)
    rows = np.ascontiguousarray(blocks.transpose(0, 2, 1)).view(np.uint8)  # (H, s, W) of runs
    return rows.reshape(scale * height, scale * width, -1)
