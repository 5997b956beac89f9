"""Define the one exception a user of this package is meant to read, and ask for packages by it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# Module -> the name that pip knows it by, where they differ.
_PACKAGES = {"cv2": "opencv-python-headless", "skimage": "scikit-image", "yaml": "pyyaml"}


class InputError(ValueError):
    """What was given cannot be used: says what was expected, what came and what to do.

    Commands print it as one line and exit with status 2. Every other exception is a bug of ours and
    keeps its traceback, plain ValueError included: Paddle raises that for its own faults.
    """


def needs(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of this package brings.

    Parameters
    ----------
    module : str, such as "cv2"
    extra : str, such as "opencv"

    Raises
    ------
    InputError that names the package and the extra, if it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        package = _PACKAGES.get(module, module)
        raise InputError(f"{package} is not installed: `pip install 'elsr-paddle[{extra}]'` "
                         "brings it") from error
