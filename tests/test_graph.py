"""A network as a list of layers means what Paddle means, and its rewritings change nothing."""

import numpy as np
import paddle
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.graph import Conv, Graph, PixelShuffle, build_graph, evaluate
from elsr_paddle.models import build_model, load_arrays


@pytest.mark.parametrize("name, config", [
    ("elsr", {"scale": 4}),
    ("elsr", {"scale": 2, "width": 3, "prelu": "shared"}),
    ("elsr-y", {"scale": 3, "depth": 2, "head_kernel": 5}),
    ("elsr-y", {"scale": 2, "depth": 3, "skip": False, "tail_kernel": 1}),
])
def test_the_graph_of_a_network_computes_what_paddle_computes(name, config, network, noise):
    weights, metadata = network(name, **config)
    graph = build_graph(weights, metadata)
    model = build_model(metadata)
    load_arrays(model, weights)
    image = noise(9, 14, graph.channels)
    tensor = paddle.to_tensor(np.float32(image.transpose(2, 0, 1)[None]) / 255)
    expected = model(tensor).numpy()[0].transpose(1, 2, 0) * 255
    assert np.allclose(evaluate(graph, image), expected, atol=2e-3)  # levels; float32 against 64


def test_the_radius_is_how_far_a_pixel_reaches(branched, network, noise):
    elsr = build_graph(*network("elsr", scale=4))
    assert (elsr.radius, branched.radius) == (4, 4)  # 3x3 four times; 5x5, 3x1 and 3x3
    for graph in (elsr, branched):
        image = noise(25, 25, graph.channels)
        changed = image.copy()
        changed[12, 12] ^= 255
        touched = np.argwhere(evaluate(graph, image) != evaluate(graph, changed))
        rows = touched[:, 0] // graph.scale
        assert (rows.min(), rows.max()) == (12 - graph.radius, 12 + graph.radius)


def test_levels_need_other_biases_only(branched, noise):
    image = noise(7, 6, 1)
    fractions = Graph(branched.on_levels().layers, 1)
    # `evaluate` divides by 255 and multiplies back; undone here to feed levels.
    assert np.allclose(evaluate(fractions, image * 255.0) / 255, evaluate(branched, image))


def test_interleaving_reorders_the_channels_before_the_shuffle(branched, network, noise):
    for graph in (branched, build_graph(*network("elsr", scale=3))):
        image = noise(5, 6, graph.channels)
        expected = evaluate(graph, image)
        moved = graph.interleaved()
        order = np.arange(graph.channels * graph.scale**2)
        restored = order.reshape(graph.scale, graph.scale, graph.channels).transpose(2, 0, 1)
        one_by_one = Graph((*moved.layers[:-1], Conv(
            len(moved.layers) - 2, np.eye(len(order), dtype=np.float32)[restored.ravel()][
                :, :, None, None], np.zeros(len(order), np.float32)),
            PixelShuffle(len(moved.layers) - 1, graph.scale)), graph.channels)
        assert np.allclose(evaluate(one_by_one, image), expected)


def test_raising_adds_to_every_output_value(branched, network, noise):
    for graph in (branched, build_graph(*network("elsr", scale=2))):
        image = noise(4, 5, graph.channels)
        raised = evaluate(graph.on_levels().raised(0.5), image)
        assert np.allclose(raised - evaluate(graph.on_levels(), image), 0.5 * 255, atol=1e-3)


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("tail.bias"), "'tail.bias' is missing"),
    (lambda w: w.update({"tail.bias": np.zeros(3)}), "expected tail to be a kernel"),
    (lambda w: w.update({"head.weight": np.zeros((6, 3, 2, 2))}), "expected head to be a kernel"),
    (lambda w: w.update({"body.0.weight": np.zeros((6, 5, 3, 3))}), "expected kernels on 6"),
    (lambda w: w.update({"body.1.weight": np.zeros(4)}), "expected 1 or 6 slopes"),
    (lambda w: w.update({"body.2.weight": np.zeros((5, 6, 3, 3)), "body.2.bias": np.zeros(5)}),
     "adds 5 to 6 channels"),
])
def test_weights_that_make_no_network_are_refused(change, message, network):
    weights, metadata = network("elsr", scale=4)
    change(weights)
    with pytest.raises(InputError, match=message):
        build_graph(weights, metadata)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="expected a network of elsr, elsr-y but got 'x'"):
        build_graph({}, {"model": "x", "config": {}})
