"""From a name or a file of weights to an engine."""

from __future__ import annotations

from pathlib import Path

from elsr_paddle.checkpoint import load_weights
from elsr_paddle.engines.engine import MAX_PIXELS, Engine
from elsr_paddle.errors import InputError

WEIGHTS = Path(__file__).parents[1] / "weights"
ENGINES = ("eager",)


def load_engine(model_or_path, *, scale=None, engine="auto", threads=None, max_pixels=MAX_PIXELS):
    """Make a trained network ready to enlarge pictures.

    Parameters
    ----------
    model_or_path : str or Path, the name of a shipped network (`elsr`) or a .safetensors file.
    scale : int or None; chooses among the shipped networks (None: 4), must agree with a file's.
    engine : str, one of `ENGINES`, or `auto`.
    threads : int or None (all cores).
    max_pixels : int, largest output in pixels; a larger one is refused.

    Returns
    -------
    Engine

    Raises
    ------
    InputError for an unknown name, engine or scale; FileNotFoundError for a missing file.
    """
    path = find_weights(model_or_path, scale)
    weights, metadata = load_weights(path)
    found = metadata["config"]["scale"]
    if scale not in (None, found):
        raise InputError(f"expected weights for x{scale} but {path} holds x{found}")
    if engine not in ("auto", *ENGINES):
        raise InputError(f"expected an engine of {', '.join(ENGINES)} or auto but got {engine!r}")
    from elsr_paddle.engines.eager import EagerBackend

    backend = EagerBackend(weights, metadata, threads)
    return Engine(backend, model_name=metadata["model"], max_pixels=max_pixels)


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
    InputError for a name that is neither shipped nor a file; FileNotFoundError for a path.
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
