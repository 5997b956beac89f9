"""What trained networks are worth: on benchmark sets, on clips, and in what their layers hold.

Figures are nested dicts that JSON can hold; `scoreboard` makes tables of them. Nothing here needs
Paddle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elsr_paddle.checkpoint import degradation_of, load_weights
from elsr_paddle.data.clips import VIDEO_SUFFIXES
from elsr_paddle.engines import Engine, make_engine
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import (
    PROTOCOLS,
    evaluate_frames,
    evaluate_stills,
    find_sets,
    summary,
)
from elsr_paddle.evaluation.published import FRAME_PIXELS
from elsr_paddle.files import natural_key
from elsr_paddle.graph import Add, Conv, Graph, PReLU, build_graph, layer_outputs
from elsr_paddle.graph import evaluate as evaluate_graph
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.video.read import numbered_frames


@dataclass(frozen=True)
class Network:
    """A trained network, ready to be evaluated."""

    path: Path
    metadata: dict
    parameters: int
    graph: Graph
    engine: Engine

    @property
    def name(self):
        """That of its file without the scale, such as `elsr-y-aliased`."""
        return re.sub(r"_x\d+$", "", self.path.stem)

    @property
    def degradation(self):
        """How the LR is made that it is for, by a name in `degrade.DEGRADATIONS`."""
        return degradation_of(self.metadata)

    @property
    def scale(self):
        return self.graph.scale

    @property
    def multiply_adds(self):
        """To enlarge a frame of 320x180."""
        return FRAME_PIXELS * self.graph.multiply_adds

    def record(self):
        """What it is, for JSON."""
        return {
            "file": self.path.name, "name": self.name, "model": self.metadata["model"],
            "scale": self.scale, "config": self.metadata["config"],
            "degradation": self.degradation, "parameters": self.parameters,
            "multiply_adds": self.multiply_adds, "engine": self.engine.name,
        }  # fmt: skip


def load_networks(folder, engine="auto"):
    """Every network of a folder of weights, by scale and then by name.

    Parameters
    ----------
    folder : str or Path
    engine : str, as for `engines.load_engine`

    Returns
    -------
    list of Network

    Raises
    ------
    InputError if there is none, or a file is damaged.
    """
    networks = [_load(path, engine) for path in Path(folder).glob("*.safetensors")]
    if not networks:
        raise InputError(f"expected .safetensors files in {folder} but found none; train networks")
    return sorted(networks, key=lambda network: (network.scale, network.name))


def _load(path, engine):
    weights, metadata = load_weights(path)
    parameters = sum(array.size for array in weights.values())
    graph = build_graph(weights, metadata)
    return Network(path, metadata, parameters, graph, make_engine(weights, metadata, engine=engine))


def evaluate_sets(folder, networks, *, on_error, protocol="y", degradation=None):
    """Every benchmark set of a folder with networks of one scale.

    Parameters
    ----------
    folder : str or Path, as for `evaluation.find_sets`
    networks : list of Network, all of one scale, each with another name.
    on_error : callable that takes an InputError
    protocol : str, a name in `evaluation.PROTOCOLS`
    degradation : str, a name in `degrade.DEGRADATIONS`; None takes the protocol's.

    Returns
    -------
    dict, name of the set -> dict of `evaluation.summary` with bicubic and every network.
    """
    protocol = PROTOCOLS[protocol]
    degradation = degradation or protocol.degradation
    sets = find_sets(folder, networks[0].scale, given_lr=degradation == "bicubic")
    return {
        name: _evaluated(evaluate_stills, stills, networks, on_error=on_error, protocol=protocol,
                        degradation=degradation)
        for name, stills in sets.items()
    }  # fmt: skip


def evaluate_clips(folder, networks, *, on_error, protocol="rgb", every=1):
    """Every clip of a folder with networks of one scale.

    Parameters
    ----------
    folder : str or Path; each folder of frames and each video in it is a clip.
    networks, on_error, protocol : as for `evaluate_sets`
    every : int, every how many frames one is taken.

    Returns
    -------
    dict, name of the clip -> dict of `evaluation.summary` with bicubic and every network.
    """
    clips = [path for path in sorted(Path(folder).iterdir(), key=natural_key)
             if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]
    return {
        clip.name: _evaluated(evaluate_frames, numbered_frames(clip, every, on_error), networks,
                             on_error=on_error, protocol=PROTOCOLS[protocol])
        for clip in clips
    }  # fmt: skip


def _evaluated(evaluate, pictures, networks, **options):
    upscalers = {network.name: network.engine.upscale for network in networks}
    items = evaluate(pictures, upscalers, scale=networks[0].scale, **options)
    records = [item.record() for item in items]
    if not records:
        raise InputError("no picture could be evaluated; give pictures, or folders of them")
    return summary(records)


def below_bicubic(results, network):
    """The pictures on which a network is not above bicubic.

    Parameters
    ----------
    results : dict, name of the set or clip -> dict of `evaluation.summary`
    network : str, its name

    Returns
    -------
    list of dict with "set", "name", "bicubic_db" and "network_db".
    """
    return [
        {"set": name, "name": item["name"], "bicubic_db": item["bicubic"]["psnr_db"],
         "network_db": item[network]["psnr_db"]}
        for name, figures in results.items()
        for item in figures["items"]
        if item[network]["psnr_db"] <= item["bicubic"]["psnr_db"]
    ]  # fmt: skip


def disagreement(network, images):
    """How far the engine's pictures are from the network's in float64, rounded.

    Parameters
    ----------
    network : Network
    images : iterable of uint8 (H, W, 3), LR pictures

    Returns
    -------
    dict: "levels", the largest difference, and "share" of the values that differ at all.
    """
    largest = different = count = 0
    for image in images:
        pixels = _input(network.graph, image)
        expected = np.rint(evaluate_graph(network.graph, pixels).clip(0, 255))
        upscale = network.engine.upscale if pixels.shape[2] == 3 else _by_plane(network.engine)
        difference = np.abs(upscale(pixels) - expected)
        largest = max(largest, int(difference.max()))
        different += int(np.count_nonzero(difference))
        count += difference.size
    return {"levels": largest, "share": different / count}


def _input(graph, image):
    """What the network reads of an RGB picture: all of it, or its luma as (H, W, 1)."""
    return image if graph.channels == 3 else rgb_to_luma(image)[:, :, None]


def _by_plane(engine):
    return lambda pixels: engine.upscale_plane(pixels[:, :, 0])[:, :, None]


def value_ranges(graph, images):
    """What the layers of a network hold: their weights, and what comes out of them.

    Parameters
    ----------
    graph : Graph
    images : iterable of uint8 (H, W, 3), LR pictures

    Returns
    -------
    list of dict, one a layer: "layer", in words; "weights" and "biases", [least, greatest] of
    kernel or slopes and of biases, None where there are none; "outputs", [least, greatest] over
    all pictures, whose range is [0, 1].
    """
    outputs = [[np.inf, -np.inf] for _ in graph.layers]
    for image in images:
        held = layer_outputs(graph, _input(graph, image))
        for index, found in enumerate(outputs):
            found[:] = min(found[0], held[index].min()), max(found[1], held[index].max())
    return [
        {"layer": describe(layer), "weights": _span(getattr(layer, "kernel", _slopes(layer))),
         "biases": _span(getattr(layer, "bias", None)), "outputs": list(map(float, found))}
        for layer, found in zip(graph.layers, outputs)
    ]  # fmt: skip


def _slopes(layer):
    return getattr(layer, "slopes", None)


def _span(values):
    return None if values is None else [float(values.min()), float(values.max())]


def describe(layer):
    """A layer of a graph in words, such as `conv 3x3, 6 to 48`."""
    if isinstance(layer, Conv):
        outputs, inputs, rows, columns = layer.kernel.shape
        return f"conv {rows}x{columns}, {inputs} to {outputs}"
    if isinstance(layer, PReLU):
        return "PReLU"
    return "sum" if isinstance(layer, Add) else f"pixel shuffle x{layer.scale}"
