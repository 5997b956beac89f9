"""From a name or a file of weights to an engine."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from elsr_paddle.checkpoint import load_weights
from elsr_paddle.engines.engine import MAX_PIXELS, Engine
from elsr_paddle.errors import InputError
from elsr_paddle.graph import build_graph, evaluate

WEIGHTS = Path(__file__).parents[1] / "weights"

# How LR was made, as in degrade.DEGRADATIONS -> what follows the name of the model in the name of
# the network that is shipped for such LR.
SUFFIXES = {"bicubic": "", "opencv_cubic": "-aliased"}

# Fastest first, as measured (benchmarks/README.md); imported only when asked for.
ENGINES = {
    "halide": ("halide_backend", "HalideBackend"),
    "openvino": ("openvino_backend", "OpenVINOBackend"),
    "paddle": ("paddle_backend", "PaddleBackend"),
    "onnxruntime": ("onnxruntime_backend", "ONNXRuntimeBackend"),
    "eager": ("eager_backend", "EagerBackend"),
}


def load_engine(model_or_path, *, scale=None, engine="auto", threads=None, max_pixels=MAX_PIXELS):
    """Make a trained network ready to enlarge pictures.

    Parameters
    ----------
    model_or_path : str or Path, the name of a shipped network (`elsr`) or a .safetensors file.
    scale : int or None; chooses among the shipped networks (None: 4), must agree with a file's.
    engine : str, one of `ENGINES`, or `auto`: the fastest that is installed and works.
    threads : int or None (all cores).
    max_pixels : int, largest output in pixels; a larger one is refused.

    Returns
    -------
    Engine

    Raises
    ------
    InputError for an unknown name, engine or scale, or an engine that is not installed;
    FileNotFoundError for a missing file.
    """
    path = find_weights(model_or_path, scale)
    weights, metadata = load_weights(path)
    found = build_graph(weights, metadata).scale
    if scale not in (None, found):
        raise InputError(f"expected weights for x{scale} but {path} holds x{found}")
    return make_engine(weights, metadata, engine=engine, threads=threads, max_pixels=max_pixels)


def make_engine(weights, metadata, *, engine="auto", threads=None, max_pixels=MAX_PIXELS):
    """The same from weights in memory.

    Parameters
    ----------
    weights, metadata : as `checkpoint.load_weights` returns them
    engine, threads, max_pixels : as for `load_engine`
    """
    if threads is not None and threads < 1:
        raise InputError(f"expected at least 1 thread but got {threads}")
    if engine == "auto":
        backend, reason = _fastest(weights, metadata, threads)
    elif engine in ENGINES:
        backend = _backend(engine, weights, metadata, threads)
        reason = f"{backend.note}, as asked for"
    else:
        raise InputError(f"expected an engine of {', '.join(ENGINES)} or auto but got {engine!r}")
    return Engine(backend, model_name=metadata["model"], reason=reason, max_pixels=max_pixels)


def find_weights(model_or_path, scale=None):
    """The file of weights that a name or a path means.

    Parameters
    ----------
    model_or_path : str or Path, a shipped network's name or a file.
    scale : int or None; None takes x4 among the shipped ones.

    Returns
    -------
    Path

    Raises
    ------
    InputError for a bare word that is no shipped network.
    """
    path = Path(model_or_path)
    if path.suffix or path.name != str(model_or_path):
        return path
    shipped = WEIGHTS / f"{model_or_path}_x{scale or 4}.safetensors"
    if not shipped.is_file():
        known = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))) or "none"
        raise InputError(
            f"expected a file of weights or a shipped network ({known}) but got "
            f"{model_or_path} at x{scale or 4}"
        )
    return shipped


def find_shipped(model, scale=None, degradation="bicubic"):
    """The shipped network for LR of one kind; where there is none, the one for bicubic's.

    Parameters
    ----------
    model : str, as in the weights' metadata
    scale : int or None, as for `find_weights`
    degradation : str, a name in `degrade.DEGRADATIONS`

    Returns
    -------
    Path

    Raises
    ------
    InputError if the model is not shipped at that scale.
    """
    with suppress(InputError):
        return find_weights(f"{model}{SUFFIXES.get(degradation, '')}", scale)
    return find_weights(model, scale)


def _backend(name, weights, metadata, threads):
    module, backend = ENGINES[name]
    module = import_module(f"elsr_paddle.engines.{module}")
    return getattr(module, backend)(weights, metadata, threads)


def _fastest(weights, metadata, threads):
    """The first backend that can be made and gives the right picture, and why it was taken."""
    graph = build_graph(weights, metadata)
    passed_over = []
    for name in ENGINES:
        try:
            backend = _backend(name, weights, metadata, threads)
            _check_picture(backend, graph)
        except Exception as error:  # a broken installation raises anything, and the next may work
            passed_over.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        if not passed_over:
            return backend, f"{backend.note}, the fastest of all"
        return backend, f"{backend.note}, the fastest that works here; {'; '.join(passed_over)}"
    raise InputError(f"no engine works here; {'; '.join(passed_over)}")


def _check_picture(backend, graph):
    """RuntimeError unless the backend's picture of noise is the reference's within one level."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, graph.channels), dtype=np.uint8)
    expected = evaluate(graph, noise).clip(0, 255)
    difference = np.abs(expected - backend.run(noise)).max()
    if not difference <= 1:
        raise RuntimeError(f"differs from the network by {difference:.1f} levels")
