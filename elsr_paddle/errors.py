"""Define the one exception a user of this package is meant to read, and raise it for a package."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class InputError(ValueError):
    """What was given cannot be used: says what was expected, what came and what to do.

    Scripts print it as one line and exit with status 2. Every other exception is a bug of ours and
    keeps its traceback, plain ValueError included: Paddle raises that for its own faults.
    """


def needs(module: str, extra: str) -> ModuleType:
    """Import a module of a package that not every install has.

    Parameters
    ----------
    module : str, as it is imported, such as "cv2"
    extra : str, of this package, that brings it, such as "opencv"

    Raises
    ------
    InputError, which names the module and the extra, if it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is needed but cannot be imported ({error}): "
                         f"`pip install 'elsr-paddle[{extra}]'` brings it") from error
