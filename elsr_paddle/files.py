"""Files that appear whole or not at all, and names in the order people count in."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path

PIPE = Path("-")  # stands for standard input, or standard output

# Files that are taken for videos where only the name tells.
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path`; rename it to `path` once its bytes are on the disk.

    A reader, a full disk or a killed process never meets half a file under the final name: the
    file is flushed before the rename, and the folder that records the rename after it. When the
    block raises, the temporary file goes and what stood under `path` stays as it was. After
    SIGKILL the temporary file is left over, and the next write to the same name replaces it.

    Parameters
    ----------
    path : str or Path; missing parent folders are made.

    Yields
    ------
    Path, in the same folder and with the same suffix, since libraries choose formats by suffix.

    Raises
    ------
    OSError as the file system gives it (disk full, read-only folder), with `path` as its filename.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.errno and str(error.filename) in ("None", str(temporary)):
            # Nobody knows the temporary file, and a write names none; PyAV's errors are read-only.
            with suppress(AttributeError):
                error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path):
    """fsync a file or folder; Windows cannot open folders, and orders renames by itself."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def natural_key(name):
    """Sort key that counts digits as numbers: frame 10 comes after frame 9.

    Parameters
    ----------
    name : str or Path

    Returns
    -------
    list of (int, str) pairs; the name itself breaks ties, so `01` and `1` keep one order.
    """
    name = str(name)
    parts = re.split(r"(\d+)", name)
    numbered = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return [*numbered, (-1, name)]
