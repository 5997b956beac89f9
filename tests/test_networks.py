"""Each network is what its paper says, is described once, and refuses what it cannot be."""

from dataclasses import dataclass
from math import prod

import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks.elsr import ELSR
from elsr_paddle.networks.network import Network
from elsr_paddle.options import option


def count(model, **config):
    return sum(map(prod, build(model, config).graph.parameters().values()))


# Counts: arXiv 2208.14600 and the released checkpoint of ELSR-torch (one shared slope).
@pytest.mark.parametrize("scale, prelu, parameters", [
    (4, "channel", 3474), (4, "shared", 3469), (2, "channel", 1494), (2, "shared", 1489),
])  # fmt: skip
def test_elsr_has_the_parameters_of_the_paper_and_of_elsr_torch(scale, prelu, parameters):
    assert count("elsr", scale=scale, prelu=prelu) == parameters


# arXiv 1609.05158, figure 1 and section 3.2: 5x5-64, 3x3-32, 3x3-s*s on one channel.
@pytest.mark.parametrize("scale, parameters", [(2, 21284), (3, 22729), (4, 24752)])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_espcn_has_the_parameters_of_its_paper(scale, parameters, activation):
    assert count("espcn", scale=scale, activation=activation) == parameters


def test_espcns_last_layer_learns_at_a_tenth_of_the_rate():
    rates = {node.op.name: node.op.learning_rate for node in build("espcn", {}).graph.nodes
             if hasattr(node.op, "learning_rate")}
    assert rates == {"head": 1.0, "body": 1.0, "tail": 0.1}


def test_180p_to_720p_by_elsr_costs_196_million_multiply_adds():
    # 3,402 kernel weights, each used once per LR pixel.
    assert build("elsr", {}).graph.multiply_adds * 320 * 180 == 195_955_200


def test_every_network_enlarges_as_its_scale_says_and_gives_what_it_reads():
    for kind in NETWORKS.values():
        for scale in (2, 3, 4):
            network = kind(scale=scale)
            assert network.graph.scale == scale
            assert network.graph.widths[-1] == network.channels


def test_the_checkpoint_of_elsr_torch_maps_by_name_alone():
    # Names and shapes of the released x4 checkpoint, as its model code of that commit defines them.
    theirs = {
        "layer1.weight": (6, 3, 3, 3),
        "layer1.bias": (6,),
        "layer2_4.conv1.weight": (6, 6, 3, 3),
        "layer2_4.conv1.bias": (6,),
        "layer2_4.prelu.weight": (1,),
        "layer2_4.conv2.weight": (6, 6, 3, 3),
        "layer2_4.conv2.bias": (6,),
        "layer5.weight": (48, 6, 3, 3),
        "layer5.bias": (48,),
    }
    ours = build("elsr", {"prelu": "shared"}).graph.parameters()
    assert list(ours.values()) == list(theirs.values())
    for name, other in zip(theirs, ours):
        assert any(name in line and other in line for line in ELSR.__doc__.splitlines())


@pytest.mark.parametrize("model, config, message", [
    ("edsr-9", {}, "expected a network of elsr, elsr-y, .* but got 'edsr-9'"),
    ("elsr", {"scale": 5}, "expected scale to be one of 2, 3, 4 but got 5"),
    ("elsr", {"width": 0}, "expected width of at least 1 but got 0"),
    ("elsr", {"width": "six"}, "expected width to be a number but got 'six'"),
    ("elsr", {"prelu": "none"}, "expected prelu to be one of channel, shared but got none"),
    ("elsr", {"depth": 9}, "no elsr has the options"),
    ("elsr-y", {"head_kernel": 7}, "expected head_kernel to be one of 1, 3, 5 but got 7"),
])  # fmt: skip
def test_a_network_that_does_not_exist_is_one_line(model, config, message):
    with pytest.raises(InputError, match=message):
        build(model, config)


def test_a_network_is_one_dataclass_and_all_else_follows(trained, noise, tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Toy(Network):
        """Two convolutions and a pixel shuffle."""

        name = "toy"
        colour = "y"
        scale: int = option(2, "enlargement", choices=(2, 3, 4))

        def layers(self, x):
            x = x.conv("head", 8).activate("relu")
            return x.conv("tail", self.scale**2).pixel_shuffle(self.scale)

    from elsr_paddle.engines.choose import load_engine
    from elsr_paddle.networks.graph import evaluate
    from elsr_paddle.networks.weights import save_tensors

    monkeypatch.setitem(NETWORKS, "toy", Toy)
    toy = trained(Toy())
    path = tmp_path / "toy.safetensors"
    save_tensors(path, toy.graph.arrays, toy.metadata)
    image = noise(10, 12, 1)
    restored = load_engine(path).upscale_plane(image[..., 0])
    assert abs(restored - evaluate(toy.graph, image).clip(0, 255)[..., 0]).max() <= 1
