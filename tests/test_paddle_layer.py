"""The layer that is trained: what it computes, how weights go in and out, how it starts."""

import numpy as np
import pytest
from odd_networks import ODD

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks.graph import outputs
from elsr_paddle.networks.paddle_layer import (
    PaddleNetwork,
    load_arrays,
    load_model,
    to_arrays,
    warm_start,
)
from elsr_paddle.networks.prelu import PReLU


def elsr(scale=4, expansion=0, **config):
    return PaddleNetwork(build("elsr", {"scale": scale, **config}), expansion)


def count(name):
    return build(name, {}).graph.parameter_count


def lr_tensor(height=9, width=11):
    values = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    return paddle.to_tensor(values)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", [name for name in NETWORKS if count(name) < 300_000])
def test_the_layer_computes_what_the_operations_say(name, scale, trained, noise):
    given = trained(name, scale=scale)
    image = noise(7, 9, given.channels)
    expected = outputs(given.graph, image)[-1]
    lr = paddle.to_tensor(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    np.testing.assert_allclose(load_model(given)(lr).numpy()[0], expected, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_output_is_scale_times_the_input_at_any_size(scale):
    assert elsr(scale)(lr_tensor(5, 7)).shape == [1, 3, 5 * scale, 7 * scale]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("expansion", [0, 16])
def test_an_untrained_network_nearly_repeats_pixels_at_every_scale(scale, expansion):
    paddle.seed(1)
    lr = lr_tensor(16, 16)
    repeated = lr.numpy().repeat(scale, axis=2).repeat(scale, axis=3)
    output = elsr(scale, expansion)(lr).numpy()
    # Measured: 0.6 to 0.8 over seeds; a start by the channel count, as in the port, gives 0.
    assert np.corrcoef(output.ravel(), repeated.ravel())[0, 1] > 0.5


def test_linear_blocks_collapse_to_the_plain_network():
    paddle.seed(0)
    wide, plain = elsr(expansion=32), elsr()
    load_arrays(plain, to_arrays(wide))
    lr = lr_tensor(12, 12)
    # The wide path computed layer by layer, without collapsing: 1x1 after 3x3, plus a 3x3.
    functional = paddle.nn.functional

    def block(layer, features):
        inner = functional.conv2d(features, layer.expand, padding=1)
        outer = functional.conv2d(inner, layer.squeeze.unsqueeze([-1, -1]))
        return outer + functional.conv2d(features, layer.skip, layer.bias, padding=1)

    layers = dict(wide.named_sublayers())
    features = block(layers["head"], lr)
    body = layers["body.1"](block(layers["body.0"], features))
    body = block(layers["body.2"], body)
    sr = functional.pixel_shuffle(block(layers["tail"], features + body), 4)
    assert np.abs(sr.numpy() - plain(lr).numpy()).max() < 1e-5


def test_linear_blocks_continue_from_plain_weights():
    paddle.seed(0)
    plain, wide = elsr(), elsr(expansion=32)
    load_arrays(wide, to_arrays(plain))
    assert np.abs(wide(lr_tensor()).numpy() - plain(lr_tensor()).numpy()).max() < 1e-5


@pytest.mark.parametrize("count", [1, 5])
def test_prelu_has_the_values_and_the_gradients_of_paddle_s(count):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    values[0, :, 0, 0] = 0
    found = []
    for layer in (PReLU(count), paddle.nn.PReLU(count)):
        layer._weight.set_value(np.linspace(-0.5, 1.5, count, dtype=np.float32))
        features = paddle.to_tensor(values, stop_gradient=False)
        activated = layer(features)
        (activated**2).sum().backward()
        found.append((activated.numpy(), features.grad.numpy(), layer._weight.grad.numpy()))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_zero_padding_and_no_clipping():
    model = elsr(2)
    load_arrays(model, {k: np.zeros_like(v) for k, v in to_arrays(model).items()})
    weights = to_arrays(model)
    weights["tail.bias"][:] = -2.5
    load_arrays(model, weights)
    assert (model(lr_tensor()).numpy() == -2.5).all()


@pytest.mark.parametrize("damage", ["missing", "unknown", "misshaped"])
def test_weights_that_do_not_fit_are_refused_and_change_nothing(damage):
    model = elsr()
    before = to_arrays(model)
    weights = {name: array + 1 for name, array in before.items()}
    if damage == "missing":
        del weights["body.0.bias"]
    elif damage == "unknown":
        weights["body.9.bias"] = np.zeros(6, np.float32)
    else:
        weights["body.0.weight"] = np.zeros((6, 6, 5, 5), np.float32)
    with pytest.raises(InputError, match=r"body\.(0|9)\."):
        load_arrays(model, weights)
    assert all((to_arrays(model)[name] == array).all() for name, array in before.items())


def test_a_warm_start_from_x2_copies_all_but_the_tail():
    paddle.seed(0)
    x2, x4 = elsr(2), elsr(4)
    assert warm_start(x4, to_arrays(x2)) == ["tail.bias", "tail.weight"]
    given, taken = to_arrays(x2), to_arrays(x4)
    for name in given.keys() - {"tail.bias", "tail.weight"}:
        assert (given[name] == taken[name]).all(), name


def test_a_tail_of_another_scale_starts_from_the_nearest_sub_pixels():
    paddle.seed(0)
    x2, x4 = elsr(2), elsr(4)
    warm_start(x4, to_arrays(x2))
    repeated = x2(lr_tensor()).numpy().repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_allclose(x4(lr_tensor()).numpy(), repeated, atol=1e-6)


def test_a_warm_start_within_one_scale_copies_everything():
    given, taken = elsr(4), elsr(4)
    assert warm_start(taken, to_arrays(given)) == []
    assert (given(lr_tensor()).numpy() == taken(lr_tensor()).numpy()).all()


def test_a_warm_start_from_another_width_is_refused():
    with pytest.raises(InputError, match="head.weight"):
        warm_start(elsr(4, width=8), to_arrays(elsr(2, width=6)))


def test_a_warm_start_from_a_tail_that_is_no_square_of_colours_is_refused():
    weights = to_arrays(elsr(2))
    with pytest.raises(InputError, match="tail.bias"):
        warm_start(elsr(4), {**weights, "tail.bias": weights["tail.bias"][:-1]})


@pytest.mark.parametrize("network", ODD, ids=str)
def test_no_array_of_a_network_is_left_out_on_the_way_in_or_out(network, trained):
    given = trained(network).graph.arrays
    model = PaddleNetwork(network)
    load_arrays(model, given)
    taken = to_arrays(model)
    assert taken.keys() == given.keys()
    assert all(np.allclose(taken[name], array) for name, array in given.items())
