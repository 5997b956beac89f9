"""A trained network as a function from picture to picture: uint8 in, uint8 out.

`load_engine` is the door; `Engine` is what it returns; each backend (one file each) runs the same
network on another library and gives the same picture within one level.
"""

from elsr_paddle.engines.engine import MAX_PIXELS, Engine
from elsr_paddle.engines.loading import (
    ENGINES,
    find_shipped,
    find_weights,
    load_engine,
    make_engine,
)

__all__ = [
    "ENGINES",
    "MAX_PIXELS",
    "Engine",
    "find_shipped",
    "find_weights",
    "load_engine",
    "make_engine",
]
