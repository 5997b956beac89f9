"""Write networks as ONNX models, and run them in ONNX Runtime and OpenVINO."""

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


class ONNX(Format):
    """float32 inside; pictures (N, H, W, C) or tensors (N, C, H, W)."""

    name = "onnx"
    help = "ONNX Runtime, OpenVINO, TensorRT, DirectML: nearly every runtime"
    suffix = ".onnx"
    runtime = "ONNX Runtime"
    requires = {"onnx": "export"}
    obeys = ("size", "values")
    precision = np.float32

    def write(self, trained, folder, options):
        """One file; input `lr`, output `sr`."""
        from elsr_paddle.engines.onnx_model import Form, float_model, uint8_model

        form = Form(options.size, self.precision)
        if options.values == "float":
            model = float_model(trained.graph, form)
        else:
            model, _ = uint8_model(trained.graph, form, whole=True)
        return [write_bytes(self.path(trained, folder), model.SerializeToString())]

    def run(self, files, image):
        """In ONNX Runtime."""
        onnxruntime = needs("onnxruntime", "export")
        session = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
        (source,) = session.get_inputs()

        def infer(given):
            return session.run(None, {source.name: given})[0]

        return _enlarge(infer, source.type == "tensor(uint8)", image)

    def runtimes(self):
        """Two of them."""
        return {self.runtime: self.run, "OpenVINO": self.run_openvino}

    def run_openvino(self, files, image):
        """In OpenVINO."""
        openvino = needs("openvino", "openvino")
        options = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where a CPU has it
        compiled = openvino.Core().compile_model(str(files[0]), "CPU", options)
        of_bytes = compiled.input(0).element_type == openvino.Type.u8
        return _enlarge(lambda given: compiled([given])[0], of_bytes, image)


class ONNX16(ONNX):
    """float16 inside: half the size, for GPUs and NPUs."""

    name = "onnx-fp16"
    help = "the same with float16 inside, for GPUs and NPUs"
    suffix = ".fp16.onnx"
    precision = np.float16


class ONNX8(ONNX):
    """8-bit integers inside, calibrated on photos; pictures or tensors as `ONNX`."""

    name = "onnx-int8"
    help = "the same with 8-bit integers inside, for processors and NPUs"
    suffix = ".int8.onnx"
    obeys = ("size", "values", "photos")

    def write(self, trained, folder, options):
        """One file, in the QDQ form."""
        from elsr_paddle.engines.onnx_model import Form
        from elsr_paddle.export.onnx_integers import integer_model

        made = quantise(trained.graph, as_network_reads(options.photos, trained))
        model = integer_model(made, Form(options.size), options.values == "uint8")
        return [write_bytes(self.path(trained, folder), model.SerializeToString())]


def _enlarge(infer, of_bytes, image):
    """Hand a picture to a model as it takes it, and give levels."""
    picture = as_channels(image)
    if of_bytes:
        return like_picture(infer(picture[None])[0])
    tensor = np.ascontiguousarray(picture[None].transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    return like_picture(infer(tensor)[0].transpose(1, 2, 0) * 255)
