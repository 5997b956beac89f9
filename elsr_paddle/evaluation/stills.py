"""Find the stills to evaluate: files, folders, and benchmark sets with their LR files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from elsr_paddle.errors import InputError
from elsr_paddle.files import natural_key
from elsr_paddle.imaging.io import list_images


@dataclass(frozen=True)
class Still:
    """An image to evaluate: its HR file, and its LR file where one is given."""

    name: str
    path: Path
    lr_path: Path | None = None


def find_stills(
    paths: Iterable[str | Path], on_error: Callable[[InputError], None]
) -> list[Still]:
    """The images that files and folders mean, each under a name of its own.

    Parameters
    ----------
    paths : iterable of str or Path; of a folder the images right inside it are taken.
    on_error : callable that takes an InputError, for a folder without images

    Returns
    -------
    list of Still, named by file, with as many folders before it as it takes to tell them apart.
    """
    files = [file for path in map(Path, paths) for file in _files(path, on_error)]
    files = list({file.resolve(): file for file in files}.values())
    depth = 1
    while len({_last_parts(file, depth) for file in files}) < len(files):
        depth += 1
    return [Still(_last_parts(file, depth), file) for file in files]


def _files(path, on_error):
    if not path.is_dir():
        return [path]
    found = list_images(path)
    if not found:
        on_error(InputError(f"no pictures right inside the folder {path}"))
    return found


def _last_parts(path, count):
    return "/".join(path.resolve().parts[-count:])


def find_sets(folder: str | Path, scale: int, given_lr: bool = True) -> dict[str, list[Still]]:
    """The benchmark sets below a folder: `NAME/HR`, and `NAME/LR_bicubic/X4` where it is given.

    Parameters
    ----------
    folder : str or Path; may also be a set itself.
    scale : int
    given_lr : bool, whether LR files are used where they are given, or all are made

    Returns
    -------
    dict, name of the set -> list of Still, both in natural order.

    Raises
    ------
    InputError if there is no such set.
    """
    folder = Path(folder)
    found = [path.parent for path in (folder / "HR", *folder.glob("*/HR")) if path.is_dir()]
    sets = {root.resolve().name: _set_stills(root, scale, given_lr)
            for root in sorted(found, key=natural_key)}
    if not any(sets.values()):
        raise InputError(f"no benchmark set in {folder}; expected folders such as Set5/HR in it")
    return sets


def _set_stills(root, scale, given_lr):
    """Pairs of files; an LR file is called as its HR file, with or without `x4` after the name."""
    lr_root = root / "LR_bicubic" / f"X{scale}"
    lr_paths = list_images(lr_root) if given_lr and lr_root.is_dir() else []
    given = {path.stem: path for path in lr_paths}
    return [
        Still(path.name, path, given.get(f"{path.stem}x{scale}", given.get(path.stem)))
        for path in list_images(root / "HR")
    ]
