"""Time a network: alone, from image to image, and from file to file.

Every call is timed by itself, after a warm-up, and what is reported is the median.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from elsr_paddle.imaging.io import image_to_tensor, read_image, write_image

if TYPE_CHECKING:
    from elsr_paddle.networks.paddle_layer import PaddleNetwork

WARM_UP = 3  # calls whose time does not count: first calls compile, allocate and fill caches


@dataclass(frozen=True)
class Timed:
    """The median time of a frame, and how many frames were timed."""

    median_seconds: float
    frames: int

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1 / self.median_seconds

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"median_seconds": self.median_seconds, "fps": self.fps, "frames": self.frames}


@dataclass(frozen=True)
class Speed:
    """How fast LR frames of one size are enlarged.

    Attributes
    ----------
    lr_height, lr_width : int, pixels
    network : Timed, tensor to tensor
    image_to_image : Timed, uint8 array to uint8 array
    file_to_file : Timed, PNG to PNG
    """

    lr_height: int
    lr_width: int
    network: Timed
    image_to_image: Timed
    file_to_file: Timed

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"lr_height": self.lr_height, "lr_width": self.lr_width, "network": self.network,
                "image_to_image": self.image_to_image, "file_to_file": self.file_to_file}


def measure(
    model: PaddleNetwork, upscale: Callable, images: Sequence[np.ndarray], device: str
) -> Speed:
    """Time a network in three senses.

    Parameters
    ----------
    model : PaddleNetwork on `device`
    upscale : callable, uint8 LR image -> uint8 image, running the same network
    images : sequence of uint8 arrays, shape (h, w, 3), LR frames of one size; not empty
    device : str, where Paddle runs the network alone: "cpu" or "gpu:N"
    """
    runs = len(images)
    height, width = images[0].shape[:2]
    return Speed(
        height,
        width,
        Timed(network_seconds(model, images[0], runs, device), runs),
        Timed(image_seconds(upscale, images[0], runs), runs),
        Timed(file_to_file_seconds(upscale, images), runs),
    )


def network_seconds(model: PaddleNetwork, image: np.ndarray, runs: int, device: str) -> float:
    """Median seconds of a network alone: tensor in, tensor out, both on the device.

    Parameters
    ----------
    model : PaddleNetwork on `device`, on RGB or on luma
    image : uint8 array, shape (H, W, 3), an LR image
    runs : int, calls that count
    device : str, "cpu" or "gpu:N"; it has finished before each reading of the clock.
    """
    from elsr_paddle import framework

    paddle = framework.paddle
    with framework.on_device(device), paddle.no_grad():
        planes = image[..., : model.channels]  # for luma any plane will do
        tensor = paddle.to_tensor(image_to_tensor(planes))

        def call():
            model(tensor)
            framework.synchronize()

        return median_seconds([call] * (WARM_UP + runs))


def image_seconds(upscale: Callable, image: np.ndarray, runs: int) -> float:
    """Median seconds from a uint8 LR image in memory to its uint8 enlargement."""
    return median_seconds([lambda: upscale(image)] * (WARM_UP + runs))


def file_to_file_seconds(upscale: Callable, images: Sequence[np.ndarray]) -> float:
    """Median seconds of a frame from its LR file to its SR file: decode, enlarge, encode (PNG).

    Parameters
    ----------
    upscale : callable, uint8 LR image -> uint8 image
    images : sequence of uint8 arrays, shape (h, w, 3), LR; each is timed once, after a warm-up.
    """
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:08d}.png" for number in range(len(images))]
        for path, image in zip(paths, images):
            write_image(path, image)

        def call(path):
            write_image(path.with_name(f"sr{path.name}"), upscale(read_image(path)))

        warm_up = [paths[0]] * WARM_UP
        return median_seconds([lambda path=path: call(path) for path in [*warm_up, *paths]])


def median_seconds(calls: Iterable[Callable[[], Any]]) -> float:
    """Median time of calls, each made once, in order; the first `WARM_UP` of them do not count."""
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])
