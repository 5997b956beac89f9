"""How long a network takes: alone, and from file to file. Nothing is divided by a fixed count."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from elsr_paddle.imaging.io import image_to_tensor, read_image, write_image

WARM_UP = 3  # calls whose time does not count: first calls compile, allocate and fill caches


def measure(model, upscale, images):
    """Frames per second of a network in three senses, with the number of frames counted.

    Parameters
    ----------
    model : paddle.nn.Layer
    upscale : callable, uint8 LR image -> uint8 SR image, running that model
    images : list of uint8 arrays, shape (h, w, 3), LR frames of one size; not empty.

    Returns
    -------
    dict: "lr_height", "lr_width", and for "network", "image_to_image" and "file_to_file" (PNG) a
    dict of "median_seconds", "fps" and "frames".
    """
    runs = len(images)
    seconds = {
        "network": network_seconds(model, images[0], runs),
        "image_to_image": image_seconds(upscale, images[0], runs),
        "file_to_file": file_to_file_seconds(upscale, images),
    }
    height, width = images[0].shape[:2]
    rows = {name: {"median_seconds": value, "fps": 1 / value, "frames": runs}
            for name, value in seconds.items()}
    return {"lr_height": height, "lr_width": width, **rows}


def network_seconds(model, image, runs):
    """Median time of a network alone: tensor in, tensor out, both on the device.

    Parameters
    ----------
    model : paddle.nn.Layer, on RGB or on luma
    image : uint8 array, shape (H, W, 3), an LR image
    runs : int, calls that count

    Returns
    -------
    float, seconds; the device has finished before each clock reading.
    """
    from elsr_paddle.framework import paddle, synchronize

    planes = image[..., : model.channels]  # for luma any plane will do
    tensor = paddle.to_tensor(image_to_tensor(planes))

    def call():
        model(tensor)
        synchronize()

    with paddle.no_grad():
        return median_seconds([call] * (WARM_UP + runs))


def file_to_file_seconds(upscale, images):
    """Median time of a frame from its LR file to its SR file: decode, enlarge, encode (PNG).

    Parameters
    ----------
    upscale : callable, uint8 LR image -> uint8 SR image
    images : list of uint8 arrays, shape (h, w, 3), LR; each is timed once, after a warm-up.

    Returns
    -------
    float, seconds
    """
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:08d}.png" for number in range(len(images))]
        for path, image in zip(paths, images):
            write_image(path, image)

        def call(path):
            write_image(path.with_name(f"sr{path.name}"), upscale(read_image(path)))

        warm_up = [paths[0]] * WARM_UP
        return median_seconds([lambda path=path: call(path) for path in [*warm_up, *paths]])


def image_seconds(upscale, image, runs):
    """Median time from a uint8 LR image in memory to its uint8 SR image; arguments as above."""
    return median_seconds([lambda: upscale(image)] * (WARM_UP + runs))


def median_seconds(calls):
    """Median time of calls, each made once, in order; the first `WARM_UP` of them do not count."""
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])
