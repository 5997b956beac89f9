"""Keep compiled kernels between runs: one shared library a machine, Halide version and shape.

A library found here is loaded into the process, so it is trusted only where nobody else can have
put it: in a folder of this user that no other user may write to. Damage is noticed by a SHA-256
kept beside it. Whatever is not as it should be is built anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
LINK_SECONDS = 60  # a linker that takes longer is not going to finish
ROOM = 2**23  # bytes; an object and a library of 24 layers take 3 MB


def cached_library(key, build):
    """The shared library for `key`, built if it is not there or not as it should be.

    Parameters
    ----------
    key : str; everything the library depends on.
    build : callable(Path), writes an object file.

    Returns
    -------
    (Path, bool): the library, and whether it was there already.

    Raises
    ------
    OSError, RuntimeError or subprocess.SubprocessError where there is no linker, or no private
    folder to keep the library in.
    """
    path = _private_folder() / _file_name(key)
    if _is_intact(path):
        return path, True
    _build(path, build)
    return path, False


def is_cached(key):
    """Whether the shared library for `key` is there and as it should be."""
    return _is_intact(cache_folder() / "kernels" / _file_name(key))


def _file_name(key):
    return f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"


def cache_folder():
    """Where this user's caches belong on this system.

    Returns
    -------
    Path; $XDG_CACHE_HOME is obeyed on every system.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "elsr_paddle"
    if os.name == "nt":
        return Path(os.environ["LOCALAPPDATA"]) / "elsr_paddle" / "cache"
    home = Path("~").expanduser()
    parent = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return parent / "elsr_paddle"


def _private_folder():
    folder = cache_folder() / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder.is_dir() and _is_private(folder)):
        raise PermissionError(f"{folder} is not private to this user")
    return folder


def _is_private(path):
    """Whether this user owns `path` itself, no link, and nobody else may write to it."""
    if os.name == "nt":  # %LOCALAPPDATA% is private to its user
        return True
    status = path.lstat()
    is_link, mode = stat.S_ISLNK(status.st_mode), stat.S_IMODE(status.st_mode)
    return not is_link and status.st_uid == os.geteuid() and not mode & 0o022


def _is_intact(path):
    digest = path.with_suffix(".sha256")
    if not (path.is_file() and digest.is_file() and _is_private(path)):
        return False
    return digest.read_bytes() == _digest(path)


def _build(path, build):
    """Compile and link in a folder of its own, then rename: nobody ever loads half a library."""
    found = linker()
    if found is None:
        raise FileNotFoundError("no C compiler to link with")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        compiled, library = Path(scratch, "kernel.o"), Path(scratch, "kernel.so")
        compiled.write_bytes(bytes(ROOM))  # raises on a full disk; Halide would end the process
        build(compiled)
        command = [found, "-shared", "-o", library, compiled, "-lpthread", "-ldl", "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=LINK_SECONDS)
        library.chmod(0o700)
        digest = library.with_suffix(".sha256")
        digest.write_bytes(_digest(library))
        library.replace(path)
        digest.replace(path.with_suffix(".sha256"))


def linker():
    """The path of a C compiler to link with, or None."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()
