"""Define what a format of export is: how it is written, and how its own runtime runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from elsr_paddle import errors
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.networks.weights import Trained
from elsr_paddle.options import check, option


@dataclass(frozen=True)
class ExportOptions:
    """What an exported network shall be like.

    Attributes
    ----------
    size : (int, int) or None, width and height of the only LR picture it takes; None for any.
    values : str, "uint8": pictures, 0..255, or "float": tensors, 0..1
    photos : tuple of uint8 arrays (H, W, 3), RGB; LR pictures that integer formats are calibrated
        on.

    Raises
    ------
    InputError for a value out of its range.
    """

    size: tuple[int, int] | None = None
    values: str = option("uint8", "pixels in and out: uint8, 0 to 255, or float, 0 to 1",
                         choices=("uint8", "float"))
    photos: tuple = ()

    def __post_init__(self):
        check(self)


class Format:
    """A format that networks are exported in; each is a subclass with one instance.

    Attributes
    ----------
    name : str, of --format
    help : str, who takes it, in a few words
    suffix : str, what the names of its files end in
    runtime : str, the name of what runs it
    requires : dict of str -> str, modules that writing needs, each with the extra that brings it
    obeys : tuple of str, the fields of ExportOptions that change what is written
    """

    name: ClassVar[str]
    help: ClassVar[str]
    suffix: ClassVar[str]
    runtime: ClassVar[str]
    requires: ClassVar[dict[str, str]] = {}
    obeys: ClassVar[tuple[str, ...]] = ()

    def need(self) -> None:
        """Raise InputError that names the extra if a package is missing that writing needs."""
        for module, extra in self.requires.items():
            errors.needs(module, extra)

    def write(self, trained: Trained, folder: Path, options: ExportOptions) -> list[Path]:
        """Write a network.

        Parameters
        ----------
        trained : Trained
        folder : Path, made if it is missing
        options : ExportOptions

        Returns
        -------
        list of Path, the files, each written whole or not at all; the one to load comes first.

        Raises
        ------
        Unsupported for an operation that the format cannot hold.
        InputError if a package is missing.
        """
        raise NotImplementedError

    def run(self, files: Sequence[Path], image: np.ndarray) -> np.ndarray:
        """Enlarge a picture with what `write` wrote, in the format's own runtime.

        Parameters
        ----------
        files : sequence of Path, as `write` returned them
        image : uint8 array (H, W, 3), RGB, or (H, W), luma, for a network on luma

        Returns
        -------
        array (s*H, s*W, 3) or (s*H, s*W), in levels 0..255: uint8, or float where the format gives
        floats.

        Raises
        ------
        InputError if the runtime is missing.
        """
        raise NotImplementedError

    def runtimes(self) -> dict[str, Callable]:
        """Everything that can run it: name -> a function as `run`, which comes first."""
        return {self.runtime: self.run}

    def path(self, trained: Trained, folder: Path) -> Path:
        """The file to write: `elsr-y_x4` and the suffix, named by the network and its scale."""
        return folder / f"{network_name(trained)}{self.suffix}"


def network_name(trained: Trained) -> str:
    """The name of a file of weights that states its scale, else that of the network with it."""
    ending = f"_x{trained.scale}"
    stem = trained.path.stem if trained.path else ""
    return stem if stem.endswith(ending) else f"{trained.network.name}{ending}"


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all; its path."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return path


def as_channels(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) as it is, (H, W) as (H, W, 1).

    Raises
    ------
    InputError for another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise InputError("expected a uint8 picture (H, W, 3) or (H, W) but got "
                         f"{image.dtype} {image.shape}")
    return image if image.ndim == 3 else image[:, :, None]


def like_picture(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) as it is, (H, W, 1) as (H, W)."""
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def as_network_reads(photos: Sequence[np.ndarray], trained: Trained) -> list[np.ndarray]:
    """RGB photos as uint8 arrays (H, W, channels) of the network's own channels."""
    if trained.channels == 3:
        return list(photos)
    return [rgb_to_luma(photo)[:, :, None] for photo in photos]
