"""List the formats of export: one row each. Nothing here loads a runtime."""

from __future__ import annotations

from elsr_paddle.errors import InputError
from elsr_paddle.export.format import Format
from elsr_paddle.export.halide_library import X86, Android, Arm64, Wasm
from elsr_paddle.export.html import HtmlPage
from elsr_paddle.export.mpv import MpvShader
from elsr_paddle.export.ncnn import NCNN
from elsr_paddle.export.onnx import ONNX, ONNX8, ONNX16
from elsr_paddle.export.paddle_program import Paddle
from elsr_paddle.export.tflite import TFLite, TFLite8

_ALL = (ONNX(), ONNX16(), ONNX8(), TFLite(), TFLite8(), NCNN(), Paddle(), MpvShader(), HtmlPage(),
        X86(), Arm64(), Android(), Wasm())
FORMATS: dict[str, Format] = {kind.name: kind for kind in _ALL}


def find(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    InputError for a name that there is none of.
    """
    if name not in FORMATS:
        raise InputError(f"expected a format of {', '.join(FORMATS)} or all but got {name!r}")
    return FORMATS[name]
