"""The ONNX models compute the network: on tensors, and on pictures as they lie in memory."""

import numpy as np
import pytest
from odd_networks import ODD

from elsr_paddle.engines.shuffle import shuffle
from elsr_paddle.networks import build
from elsr_paddle.networks.graph import evaluate

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
onnx_model = pytest.importorskip("elsr_paddle.engines.onnx_model")


def run(model, array):
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    return session.run(["sr"], {"lr": array})[0]


@pytest.fixture(params=[build("elsr", {"scale": 3}), build("elsr-y", {"scale": 3}), *ODD], ids=str)
def graph(request, trained):
    return trained(request.param).graph


def test_the_float_model_is_the_network_on_tensors_of_any_size(graph, noise):
    model = onnx_model.float_model(graph)
    for size in ((5, 9), (12, 7)):
        image = noise(*size, graph.channels)
        tensor = np.float32(image.transpose(2, 0, 1)[None]) / 255
        restored = run(model, np.concatenate([tensor, tensor]))
        assert restored.shape[0] == 2
        assert np.allclose(255 * restored[1].transpose(1, 2, 0), evaluate(graph, image), atol=4e-3)


def test_the_uint8_model_goes_from_picture_to_picture(graph, noise):
    image = noise(11, 14, graph.channels)
    model, scale = onnx_model.uint8_model(graph, whole=True)
    restored = run(model, image[None])[0]
    assert (scale, restored.dtype) == (1, np.uint8)
    assert np.abs(restored - np.rint(evaluate(graph, image).clip(0, 255))).max() <= 1


def test_the_shuffle_outside_the_model_is_the_one_inside(graph, noise):
    image = noise(11, 14, graph.channels)
    inside = run(onnx_model.uint8_model(graph, whole=True)[0], image[None])[0]
    model, scale = onnx_model.uint8_model(graph)
    assert np.array_equal(inside, shuffle(run(model, image[None]), scale))
