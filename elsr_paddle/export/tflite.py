"""Write networks as TFLite models, and run them in LiteRT, as TFLite is called now."""

from __future__ import annotations

import numpy as np

from elsr_paddle.errors import needs
from elsr_paddle.export.format import (
    Format,
    as_channels,
    as_network_reads,
    like_picture,
    write_bytes,
)
from elsr_paddle.export.quantised import quantise


class TFLite(Format):
    """float32 inside; pictures or tensors, both (1, H, W, C)."""

    name = "tflite"
    help = "Android and other phones: LiteRT and its GPU delegates"
    suffix = ".tflite"
    runtime = "LiteRT"
    requires = {"ai_edge_litert": "export", "flatbuffers": "export"}
    obeys = ("size", "values")

    def write(self, trained, folder, options):
        """One file; input `lr`, output `sr`."""
        from elsr_paddle.export.tflite_model import float_model

        model = float_model(trained.graph, options.size, options.values == "uint8")
        return [write_bytes(self.path(trained, folder), model)]

    def run(self, files, image):
        """In LiteRT's interpreter."""
        interpreter = _interpreter(files[0])
        (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        given = as_channels(image)[None]
        if tuple(source["shape"]) != given.shape:
            interpreter.resize_tensor_input(source["index"], given.shape)
        interpreter.allocate_tensors()
        of_bytes = source["dtype"] == np.uint8
        interpreter.set_tensor(source["index"], given if of_bytes else np.float32(given) / 255)
        interpreter.invoke()
        pixels = interpreter.get_tensor(result["index"])[0]
        return like_picture(pixels if of_bytes else pixels * 255)


class TFLite8(TFLite):
    """8-bit integers throughout, calibrated on photos, with weights in a scale a channel."""

    name = "tflite-int8"
    help = "the same in 8-bit integers throughout, for NPUs and DSPs; uint8 in and out"
    suffix = ".int8.tflite"
    obeys = ("size", "photos")

    def write(self, trained, folder, options):
        """One file; input `lr` and output `sr` are uint8."""
        from elsr_paddle.export.tflite_model import integer_model

        made = quantise(trained.graph, as_network_reads(options.photos, trained))
        model = integer_model(made, options.size)
        return [write_bytes(self.path(trained, folder), model)]


def _interpreter(path):
    needs("ai_edge_litert", "export")
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path))
