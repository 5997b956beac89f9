"""A network as a list of operations means what Paddle means, and its rewritings change nothing."""

import numpy as np
import pytest
from odd_networks import ODD, Attentive, Branched, OnBicubic, Residual

from elsr_paddle.errors import InputError
from elsr_paddle.networks import build
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import begin, evaluate, outputs
from elsr_paddle.networks.rewrites import at_lr, folded, interleaved, on_levels, raised

KNOWN = [build(model, config) for model, config in (
    ("elsr", {"scale": 4}),
    ("elsr", {"scale": 2, "width": 3, "prelu": "shared"}),
    ("elsr-y", {"scale": 3, "depth": 2, "head_kernel": 5}),
    ("elsr-y", {"scale": 2, "depth": 3, "skip": False, "tail_kernel": 1}),
    ("espcn", {"scale": 3}),
    ("espcn", {"scale": 2, "activation": "gelu"}),
)]
each_network = pytest.mark.parametrize("network", [*KNOWN, *ODD], ids=lambda net: str(net))
at_rows = pytest.mark.parametrize("network", [*KNOWN, *ODD[:-1]], ids=lambda net: str(net))


@each_network
def test_the_graph_of_a_network_computes_what_paddle_computes(network, trained, noise):
    paddle = pytest.importorskip("paddle")
    from elsr_paddle.networks.paddle_layer import load_model

    made = trained(network)
    image = noise(9, 14, network.channels)
    tensor = paddle.to_tensor(np.float32(image.transpose(2, 0, 1)[None]) / 255)
    expected = load_model(made)(tensor).numpy()[0].transpose(1, 2, 0) * 255
    assert np.allclose(evaluate(made.graph, image), expected, atol=4e-3)  # levels; float32


@pytest.mark.parametrize("network, radius", [
    (build("elsr", {}), 4),  # 3x3 four times
    (Branched(), 4),  # 5x5, 3x3, 3x3
    (Residual(), 4),  # 3x3 three times, 3x3 at x2, 5x5 at x4: 3 + 1/2 + 2/4
    (OnBicubic(), 4),  # 5x5, and at x3 9x9 and 5x5: 2 + 4/3 + 2/3
], ids=lambda value: str(value))  # fmt: skip
def test_the_radius_is_how_far_a_pixel_reaches(network, radius, trained, noise):
    graph = trained(network).graph
    assert graph.radius == radius
    image = noise(25, 25, graph.channels)
    changed = image.copy()
    changed[12, 12] ^= 255
    touched = np.argwhere(evaluate(graph, image) != evaluate(graph, changed))
    rows = touched[:, 0] // graph.scale
    assert (rows.min(), rows.max()) == (12 - radius, 12 + radius)


def test_what_looks_at_the_whole_picture_has_no_radius():
    assert Attentive().graph.radius is None


def same(graph, other, image, tolerance=2e-3):
    """Whether two graphs give the same picture, in levels; their arrays are float32."""
    return np.allclose(evaluate(graph, image), evaluate(other, image), atol=tolerance)


@each_network
def test_folding_leaves_convolutions_activations_and_sums_alone(network, trained, noise):
    graph = trained(network).graph
    small = folded(graph)
    assert same(small, graph, noise(6, 9, network.channels))
    left = {type(node.op) for node in small.nodes}
    assert not left & {ops.BatchNorm, ops.Scale, ops.Shift, ops.Bicubic}


def test_batch_norm_behind_a_convolution_costs_nothing_and_elsewhere_a_1x1_convolution():
    def convolutions(network):
        return sum(isinstance(node.op, ops.Conv) for node in network.nodes)

    value = begin(1).conv("a", 4).batch_norm("b").conv("tail", 4).pixel_shuffle(2)
    other = begin(1).conv("a", 4).activate("relu").batch_norm("b").conv("tail", 4).pixel_shuffle(2)
    for written, count in ((value, 2), (other, 3)):
        graph = written.graph()
        rng = np.random.default_rng(0)
        bound = graph.bind({name: rng.uniform(0.1, 1, shape)
                            for name, shape in graph.parameters().items()})
        assert convolutions(folded(bound)) == count


@at_rows
def test_one_shuffle_at_the_end_means_the_same(network, trained, noise):
    graph = folded(trained(network).graph)
    single = at_lr(graph)
    assert same(single, graph, noise(6, 9, network.channels))
    places = [index for index, node in enumerate(single.nodes)
              if isinstance(node.op, ops.PixelShuffle)]
    assert places == [len(single.nodes) - 1]


def test_what_looks_at_the_whole_picture_is_refused_by_name(trained):
    with pytest.raises(ops.Unsupported, match="no global pooling"):
        at_lr(trained(Attentive()).graph)


@each_network
def test_on_levels_no_engine_divides_by_255(network, trained, noise):
    graph = folded(trained(network).graph)
    image = noise(7, 6, network.channels)
    # `evaluate` divides by 255 and multiplies back; undone here to feed levels.
    levels = evaluate(on_levels(graph), image * 255.0) / 255
    assert np.allclose(levels, evaluate(graph, image), atol=4e-3)


@at_rows
def test_interleaving_reorders_the_channels_before_the_shuffle(network, trained, noise):
    graph = at_lr(folded(trained(network).graph))
    image = noise(5, 6, network.channels)
    moved = interleaved(graph)
    *_, before, _ = outputs(moved, image)
    height, width, channels = 5, 6, network.channels
    blocks = before.reshape(network.scale, network.scale, channels, height, width)
    picture = blocks.transpose(3, 0, 4, 1, 2).reshape(network.scale * height, -1, channels)
    assert np.allclose(255 * picture, evaluate(graph, image), atol=2e-3)


@each_network
def test_raising_adds_to_every_output_value(network, trained, noise):
    graph = on_levels(folded(trained(network).graph))
    image = noise(4, 5, network.channels)
    raised_by = evaluate(raised(graph, 0.5), image) - evaluate(graph, image)
    assert np.allclose(raised_by, 0.5 * 255, atol=5e-3)  # `evaluate` multiplies by 255


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("tail.bias"), "tail.bias: expected (48,) but got none"),
    (lambda w: w.update({"body.9.bias": np.zeros(6)}), "body.9.bias: expected none but got (6,)"),
    (lambda w: w.update({"head.weight": np.zeros((6, 3, 2, 2))}),
     "head.weight: expected (6, 3, 3, 3) but got (6, 3, 2, 2)"),
    (lambda w: w.update({"body.1.weight": np.zeros(4)}), "body.1.weight: expected (6,)"),
])  # fmt: skip
def test_arrays_that_are_not_the_networks_are_refused_by_name(change, message, arrays_of):
    network = build("elsr", {})
    arrays = arrays_of(network)
    change(arrays)
    with pytest.raises(InputError) as caught:
        network.graph.bind(arrays)
    assert message in str(caught.value)


@pytest.mark.parametrize("write, message", [
    (lambda x: x.conv("a", 4) + x, "expected equal channels to add but got 4 and 1"),
    (lambda x: x.conv("a", 5).pixel_shuffle(2), "expected a multiple of 4 channels"),
    (lambda x: x.conv("a", 5, kernel=2), "expected an odd kernel for a but got 2"),
    (lambda x: x.activate("swish"), "expected an activation of relu"),
])  # fmt: skip
def test_a_network_that_does_not_fit_together_is_refused_as_it_is_written(write, message):
    with pytest.raises(InputError, match=message):
        write(begin(1))


def test_graphs_of_one_shape_have_one_key_whatever_their_names_and_numbers(trained):
    assert trained("elsr").graph.shape_key() == build("elsr", {}).graph.shape_key()
    assert build("elsr", {}).graph.shape_key() != build("elsr", {"width": 7}).graph.shape_key()
    one, other = (begin(1).conv(name, 4).graph() for name in "ab")
    assert one.shape_key() == other.shape_key()
