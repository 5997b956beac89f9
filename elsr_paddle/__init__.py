"""Enlarge pictures and films with ELSR (arXiv 2208.14600) and other small networks.

`upscale` enlarges a picture, an array or a file; `load_engine` makes a network ready for many.
Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elsr_paddle.engines.choose import load_engine as load_engine
    from elsr_paddle.enlarge.face import upscale as upscale
    from elsr_paddle.imaging.io import read_image as read_image
    from elsr_paddle.imaging.io import write_image as write_image

__version__ = "0.1.0"
__all__ = ["__version__", "load_engine", "read_image", "upscale", "write_image"]

_HOMES = {"load_engine": "engines.choose", "upscale": "enlarge.face", "read_image": "imaging.io",
          "write_image": "imaging.io"}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
