"""Define the exception that a user is meant to read; put errors in a line; ask for packages."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# Module -> the name that pip knows it by, where they differ.
_PACKAGES = {"cv2": "opencv-python-headless", "skimage": "scikit-image", "yaml": "pyyaml",
             "ai_edge_litert": "ai-edge-litert"}


class InputError(ValueError):
    """What was given cannot be used: says what was expected, what came and what to do.

    Commands print it as one line and exit with status 2. Every other exception is a bug of ours and
    keeps its traceback, plain ValueError included: Paddle raises that for its own faults.
    """


def needs(module: str, extra: str = "") -> ModuleType:
    """Import a module that may be missing.

    Parameters
    ----------
    module : str, such as "cv2"
    extra : str, the extra of this package that brings it, such as "opencv"; empty for none

    Raises
    ------
    InputError that names the package and the extra, if it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        state = "is not installed" if absent else f"cannot be imported ({error})"
        package = _PACKAGES.get(module, module)
        wanted = f"'elsr-paddle[{extra}]'" if extra else package
        raise InputError(f"{package} {state}: `pip install {wanted}` brings it") from error


def one_line(error: BaseException) -> str:
    """What went wrong, and with which file, in one line."""
    if isinstance(error, MemoryError):
        return "not enough memory for it"
    reason = getattr(error, "strerror", None)
    file = reason and (getattr(error, "filename2", None) or error.filename)  # the target of a move
    return " ".join((f"{file}: {reason}" if file else str(error)).split())
