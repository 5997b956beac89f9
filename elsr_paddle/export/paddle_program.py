"""Write networks as Paddle inference programs, and run them in Paddle Inference."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from elsr_paddle.errors import needs
from elsr_paddle.export.format import Format, as_channels, like_picture, network_name
from elsr_paddle.files import atomic_write


class Paddle(Format):
    """A program (.json) and its weights (.pdiparams); pictures (1, H, W, C) in uint8."""

    name = "paddle"
    help = "Paddle Inference, on CPU or GPU"
    suffix = ".json"
    runtime = "Paddle Inference"
    requires = {"paddle": "cpu"}
    obeys = ("size",)

    def write(self, trained, folder, options):
        """Two files; input `lr`."""
        from elsr_paddle.engines.paddle_engine import save_program

        name = network_name(trained)
        with tempfile.TemporaryDirectory(prefix="elsr_paddle_") as scratch:
            made = save_program(trained.graph, Path(scratch, name), options.size)
            return [_moved(path, folder / path.name) for path in made]

    def run(self, files, image):
        """On the CPU, with oneDNN."""
        needs("paddle", "cpu")
        from elsr_paddle.engines.paddle_engine import load_program

        predictor = load_program(*files)
        given = predictor.get_input_handle(predictor.get_input_names()[0])
        given.copy_from_cpu(np.ascontiguousarray(as_channels(image)[None]))
        predictor.run()
        result = predictor.get_output_handle(predictor.get_output_names()[0])
        return like_picture(result.copy_to_cpu()[0])


def _moved(path, target):
    """Copy a file whole or not at all; the target."""
    with atomic_write(target) as temporary:
        shutil.copyfile(path, temporary)
    return target
