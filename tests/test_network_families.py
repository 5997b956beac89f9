"""The field's networks are those of their papers: counts, forward passes, training and engines."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from elsr_paddle.engines.choose import ENGINES, make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import evaluate, outputs
from elsr_paddle.networks.rewrites import folded

SMALL = {  # every family, small enough for the reference
    "espcn rgb": ("espcn", {"scale": 2, "colour": "rgb"}),
    "espcn-4": ("espcn-4", {"scale": 3}),
    "srcnn": ("srcnn", {"scale": 2, "width": 6}),
    "srcnn 3x3": ("srcnn", {"scale": 3, "sides": "3-3-3", "width": 4, "residual": True}),
    "subpixel-cnn": ("subpixel-cnn", {"width": 5, "depth": 4}),
    "subpixel-cnn-prelu": ("subpixel-cnn-prelu", {"width": 5, "depth": 5, "scale": 4}),
    "subpixel-cnn-attention": ("subpixel-cnn-attention", {"width": 6, "depth": 4, "scale": 3}),
    "fsrcnn x2": ("fsrcnn", {"scale": 2, "width": 8, "shrunk": 3, "depth": 1}),
    "fsrcnn x3": ("fsrcnn", {"scale": 3, "width": 8, "shrunk": 3, "depth": 2}),
    "fsrcnn x4": ("fsrcnn", {"scale": 4, "width": 8, "shrunk": 3, "depth": 2, "colour": "rgb"}),
    "ecbsr": ("ecbsr", {"width": 4, "depth": 2}),
    "ecbsr rgb": ("ecbsr", {"width": 4, "depth": 2, "colour": "rgb", "scale": 2}),
    "edsr": ("edsr", {"scale": 4, "width": 6, "depth": 1}),
    "edsr-baseline": ("edsr-baseline", {"scale": 2, "width": 6, "depth": 2}),
    "mdsr": ("mdsr", {"scale": 3, "width": 4, "depth": 1}),
}
each_family = pytest.mark.parametrize("model, config", SMALL.values(), ids=SMALL)


def count(model, **config):
    return sum(map(prod, build(model, config).graph.parameters().values()))


# arXiv 1707.02921, table 1 and section 3, to the last digit as the published code counts them.
@pytest.mark.parametrize("model, counts", [
    ("edsr-baseline", (1_369_859, 1_554_499, 1_517_571)),  # 1.37 M, 1.55 M, 1.52 M
    ("edsr", (40_729_603, 43_680_003, 43_089_923)),  # 40.7 M, 43.7 M, 43.1 M
    ("mdsr-baseline", (3_227_203,) * 3),  # 3.23 M for all three scales
    ("mdsr", (7_953_987,) * 3),  # 7.95 M
])  # fmt: skip
def test_edsr_and_mdsr_have_the_parameters_of_their_paper(model, counts):
    assert tuple(count(model, scale=scale) for scale in (2, 3, 4)) == counts


def test_srcnn_has_the_parameters_of_its_paper():
    # arXiv 1501.00092: 8,032 weights of 9-1-5 (section 4.1), 57,184 of 9-5-5; and 97 biases.
    assert count("srcnn") == 8_032 + 97
    assert count("srcnn", sides="9-5-5") == 57_184 + 97
    assert count("srcnn", sides="9-3-5") == 24_416 + 97 - 4_000 - 96 + 4_096  # 24,513


def test_fsrcnn_has_the_weights_of_its_paper():
    # arXiv 1608.00367, table 1: 12,464 of FSRCNN (56, 12, 4); the paper counts no biases or slopes.
    shapes = build("fsrcnn", {}).graph.parameters().values()
    assert sum(prod(shape) for shape in shapes if len(shape) == 4) == 12_464


def test_espcn_4_has_the_parameters_of_the_video_frame_study():
    assert count("espcn-4") == 58_212  # 5x5-64, 3x3-64, 3x3-32, 3x3-4 on luma


# Of the weights that the authors of ETDS publish; M4C8 as 9 * 8 + 4 * 9 * 64 + 9 * 8 * 16 weights,
# 56 biases and 40 slopes.
@pytest.mark.parametrize("depth, width, colour, parameters", [
    (4, 8, "y", 3_624), (4, 16, "rgb", 16_768), (4, 32, "rgb", 51_920), (6, 40, "rgb", 105_368),
])  # fmt: skip
def test_ecbsr_has_the_parameters_of_its_published_weights(depth, width, colour, parameters):
    assert count("ecbsr", depth=depth, width=width, colour=colour) == parameters


def test_every_file_of_networks_holds_those_that_its_row_names():
    for name in NETWORKS:
        assert NETWORKS[name].name == name
        assert name in {kind.name for kind in NETWORKS.values()}


def test_a_named_row_of_the_study_is_its_family_with_other_defaults():
    row, family = build("subpixel-cnn-32", {}), build("subpixel-cnn", {})
    assert row.config == {**family.config, "depth": 32, "batch_norm": True, "blocks": True}
    convolutions = [node for node in row.graph.nodes if isinstance(node.op, ops.Conv)]
    assert len(convolutions) == 32
    assert row != build("subpixel-cnn", row.config)  # named so in the files of weights


class Reference:
    """The layers of a network by Paddle's functions, in the order that its paper tells."""

    def __init__(self, arrays, image):
        paddle = pytest.importorskip("paddle")
        self.functional, self.tensor = paddle.nn.functional, paddle.to_tensor
        self.arrays = arrays
        self.lr = self.tensor(np.float32(image.transpose(2, 0, 1)[None]) / 255)

    def conv(self, x, name):
        weight, bias = (self.tensor(self.arrays[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def prelu(self, x, name):
        return self.functional.prelu(x, self.tensor(self.arrays[f"{name}.weight"]))

    def norm(self, x, name):
        weight, bias, mean, variance = (self.tensor(self.arrays[f"{name}.{part}"])
                                        for part in ("weight", "bias", "mean", "variance"))
        return self.functional.batch_norm(x, mean, variance, weight, bias, epsilon=1e-5)

    def bicubic(self, scale):
        """By hand, in one dimension after the other."""
        def widen(planes, axis):
            size = planes.shape[axis]
            places = (np.arange(size * scale) + 0.5) / scale - 0.5
            total = 0
            for offset in range(-1, 3):
                at = np.floor(places).astype(int) + offset
                distance = np.abs(places - at)
                taps = np.where(distance <= 1, 1.5 * distance**3 - 2.5 * distance**2 + 1,
                                -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2)
                shape = [1] * planes.ndim
                shape[axis] = -1
                total = total + planes.take(at.clip(0, size - 1), axis) * taps.reshape(shape)
            return total

        return self.tensor(np.float32(widen(widen(self.lr.numpy(), 2), 3)))

    def shuffled(self, x, scale):
        return self.functional.pixel_shuffle(x, scale)

    def residual_block(self, x, name, factor):
        return x + factor * self.conv(self.functional.relu(self.conv(x, f"{name}.0")), f"{name}.1")

    def up(self, x, name, scale):
        for index, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[scale]):
            x = self.shuffled(self.conv(x, f"{name}.{index}"), factor)
        return x


def srcnn(net, ref):
    relu, enlarged = ref.functional.relu, ref.bicubic(net.scale)
    x = relu(ref.conv(relu(ref.conv(enlarged, "head")), "body.0"))
    return ref.conv(x, "tail") + (enlarged if net.residual else 0)


def espcn(net, ref):
    paddle = pytest.importorskip("paddle")
    x = paddle.tanh(ref.conv(paddle.tanh(ref.conv(ref.lr, "head")), "body"))
    return ref.shuffled(ref.conv(x, "tail"), net.scale)


def espcn_4(net, ref):
    x = ref.lr
    for name in ("head", "body.0", "body.1"):
        x = ref.functional.relu(ref.conv(x, name))
    return ref.shuffled(ref.conv(x, "tail"), net.scale)


def subpixel(net, ref):
    def step(x, name):
        x = ref.conv(x, f"{name}.0")
        x = ref.norm(x, f"{name}.1") if net.batch_norm else x
        return ref.prelu(x, f"{name}.2") if net.activation == "prelu" else ref.functional.relu(x)

    x = step(ref.lr, "head")
    for index in range(0, net.depth - 2, 2):
        y = step(x, f"body.{index}")
        if index + 1 < net.depth - 2:
            y = step(y, f"body.{index + 1}")
            x = x + y if net.blocks else y
        else:
            x = y
    if net.attention:
        means = x.mean([2, 3], keepdim=True)
        inner = ref.functional.relu(ref.conv(means, "attention.0"))
        x = x * ref.functional.sigmoid(ref.conv(inner, "attention.1"))
    return ref.shuffled(ref.conv(x, "tail"), net.scale) + ref.bicubic(net.scale)


def fsrcnn(net, ref):
    x = ref.prelu(ref.conv(ref.lr, "head.0"), "head.1")
    for index in range(net.depth + 2):
        x = ref.prelu(ref.conv(x, f"body.{2 * index}"), f"body.{2 * index + 1}")
    weight, bias = (ref.tensor(ref.arrays[f"tail.{part}"]) for part in ("weight", "bias"))
    return ref.functional.conv2d_transpose(x, weight, bias, stride=net.scale, padding=4,
                                           output_padding=net.scale - 1)


def ecbsr(net, ref):
    x = ref.prelu(ref.conv(ref.lr, "head.0"), "head.1")
    for index in range(net.depth):
        x = ref.prelu(ref.conv(x, f"body.{2 * index}"), f"body.{2 * index + 1}")
    nearest = ref.lr.numpy().repeat(net.scale, 2).repeat(net.scale, 3)
    return ref.shuffled(ref.conv(x, "tail"), net.scale) + ref.tensor(nearest)


def edsr(net, ref):
    mean = ref.tensor(np.float32([0.4488, 0.4371, 0.4040])).reshape([1, 3, 1, 1])
    head = ref.conv(ref.lr - mean, "head")
    x = head
    for index in range(net.depth):
        x = ref.residual_block(x, f"body.{index}", net.residual_scale)
    x = ref.up(ref.conv(x, "body.out") + head, "tail", net.scale)
    return ref.conv(x, "tail.out") + mean


def mdsr(net, ref):
    mean = ref.tensor(np.float32([0.4488, 0.4371, 0.4040])).reshape([1, 3, 1, 1])
    head = ref.conv(ref.lr - mean, "head")
    for index in range(2):
        head = ref.residual_block(head, f"head.x{net.scale}.{index}", 1)
    x = head
    for index in range(net.depth):
        x = ref.residual_block(x, f"body.{index}", 1)
    x = ref.up(ref.conv(x, "body.out") + head, f"tail.x{net.scale}", net.scale)
    return ref.conv(x, "tail.out") + mean


REFERENCES = {"srcnn": srcnn, "espcn": espcn, "espcn-4": espcn_4, "fsrcnn": fsrcnn, "edsr": edsr,
              "ecbsr": ecbsr, "edsr-baseline": edsr, "mdsr": mdsr, "subpixel-cnn": subpixel,
              "subpixel-cnn-prelu": subpixel, "subpixel-cnn-attention": subpixel}


@each_family
def test_a_network_computes_what_its_paper_says(model, config, trained, noise):
    made = trained(build(model, config))
    image = noise(9, 12, made.channels)
    expected = REFERENCES[model](made.network, Reference(made.graph.arrays, image)).numpy()[0]
    np.testing.assert_allclose(outputs(made.graph, image)[-1], expected, atol=3e-5)


@each_family
def test_the_layer_that_is_trained_computes_what_the_operations_say(model, config, trained, noise):
    paddle = pytest.importorskip("paddle")
    from elsr_paddle.networks.paddle_layer import load_model

    made = trained(build(model, config))
    image = noise(7, 8, made.channels)
    lr = paddle.to_tensor(np.float32(image.transpose(2, 0, 1)[None]) / 255)
    expected = outputs(made.graph, image)[-1]
    np.testing.assert_allclose(load_model(made)(lr).numpy()[0], expected, atol=3e-5)


# A kernel takes seconds to compile: one a family, of few layers.
KERNELS = ("srcnn 3x3", "subpixel-cnn", "subpixel-cnn-attention", "fsrcnn x2", "ecbsr rgb", "edsr",
           "mdsr")


@pytest.mark.parametrize("name, small", [(name, small) for name in ENGINES for small in SMALL
                                         if name != "halide" or small in KERNELS])
def test_every_engine_runs_a_network_or_refuses_it_by_name(name, small, trained, noise):
    model, config = SMALL[small]
    made = trained(build(model, config))
    image = noise(21, 34, made.channels)
    try:
        engine = make_engine(made, EngineOptions(name))
    except InputError as error:
        if "not installed" in str(error) or "needs" in str(error):
            pytest.skip(str(error))
        assert (name, model) == ("halide", "subpixel-cnn-attention")
        assert "global pooling" in str(error)
        return
    restored = (engine.upscale(image) if made.channels == 3
                else engine.upscale_plane(image[..., 0])[..., None])
    difference = np.abs(restored - evaluate(made.graph, image).clip(0, 255))
    assert difference.max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_transposed_convolution_equals_its_sub_pixel_convolution_to_the_border(scale, trained,
                                                                               noise):
    made = trained("fsrcnn", scale=scale, width=4, shrunk=2, depth=1)
    small = folded(made.graph)
    assert not any(isinstance(node.op, ops.TransposedConv) for node in small.nodes)
    image = noise(4, 5, 1)
    np.testing.assert_allclose(evaluate(small, image), evaluate(made.graph, image), atol=1e-9)


def test_the_branches_of_other_scales_are_kept_but_cost_nothing(trained, noise):
    made = trained("mdsr-baseline", scale=2, width=4, depth=1)
    same = {name: array for name, array in made.graph.arrays.items() if "x3" not in name}
    changed = {name: array + 1 for name, array in made.graph.arrays.items() if "x3" in name}
    other = made.graph.bind({**same, **changed})
    image = noise(5, 6, 3)
    assert (evaluate(made.graph, image) == evaluate(other, image)).all()
    pruned = made.graph.pruned()
    assert pruned.arrays.keys() == {name for name in same if "x4" not in name}
    assert pruned.multiply_adds == made.graph.multiply_adds


TRAINED = [name for name in SMALL if name not in ("espcn rgb", "fsrcnn x2", "ecbsr rgb")]


@pytest.fixture
def train_small(training_data):
    """Trains a small network: train_small(folder, model, config, **run)."""
    pytest.importorskip("paddle")
    from elsr_paddle.data.pairs import Pairs
    from elsr_paddle.training.fit import fit
    from elsr_paddle.training.run import Run
    from elsr_paddle.training.stages import STAGES

    def train(folder, model, config, *, on_metrics=None, start=None, steps=12, rate=2e-3,
              in_turn="", **options):
        stage = replace(STAGES[3], steps=steps, hr_patch=32, batch_size=4, expansion=4,
                        scale=config["scale"], ema_decay=0.9, learning_rate=rate, in_turn=in_turn)
        run = Run(stage, build(model, config), folder, validate_every=4, log_every=2, val_rows=2,
                  **options)
        pairs = [Pairs(training_data / f"train_x{scale}.h5") for scale in stage.scales]
        val_pairs = Pairs(training_data / f"val_x{stage.scale}.h5")
        fit(run, pairs, val_pairs, on_metrics=on_metrics, start=start)
        return run

    return train


def at_a_scale_of_the_pairs(name):
    model, config = SMALL[name]
    return model, {**config, "scale": 4 if config.get("scale") == 4 else 2}


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_learns_a_batch(name, tmp_path, training_data):
    pytest.importorskip("paddle")
    from elsr_paddle.data.pairs import Pairs
    from elsr_paddle.data.patches import PatchBatches
    from elsr_paddle.training.run import Run
    from elsr_paddle.training.stages import STAGES
    from elsr_paddle.training.trainer import Trainer

    model, config = at_a_scale_of_the_pairs(name)
    stage = replace(STAGES[3], steps=50, hr_patch=32, batch_size=4, expansion=4,
                    scale=config["scale"])
    trainer = Trainer(Run(stage, build(model, config), tmp_path, kernels="paddle"))
    pairs = Pairs(training_data / f"train_x{stage.scale}.h5")
    batch = PatchBatches(pairs, hr_patch=32, batch_size=4, seed=0)[0]
    losses = [float(trainer.update(*batch)) for _ in range(50)]
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("name, in_turn", [*((name, "") for name in TRAINED), ("mdsr", "2+4")])
def test_a_network_is_saved_and_continues_to_the_same_bits(name, in_turn, tmp_path, train_small):
    from elsr_paddle.networks.weights import read

    model, config = at_a_scale_of_the_pairs(name)
    whole = train_small(tmp_path / "whole", model, config, in_turn=in_turn)
    assert read(whole.last).network == whole.network

    class KilledError(Exception):
        pass

    def kill(record):
        if record["step"] == 6:
            raise KilledError

    with pytest.raises(KilledError):
        train_small(tmp_path / "halved", model, config, on_metrics=kill, in_turn=in_turn)
    halved = train_small(tmp_path / "halved", model, config, in_turn=in_turn)
    assert halved.last.read_bytes() == whole.last.read_bytes()


def test_scales_in_turn_train_one_body_and_the_branches_of_each(tmp_path, train_small):
    from elsr_paddle.networks.weights import load_weights

    config = {"scale": 2, "width": 4, "depth": 1}
    runs = [train_small(tmp_path / str(steps), "mdsr-baseline", config, steps=steps,
                        in_turn="2+4") for steps in (1, 2)]
    after_1, after_2 = (load_weights(run.last)[0] for run in runs)  # x2's step, then x4's
    moved = {name for name, array in after_1.items() if (array != after_2[name]).any()}
    assert {"head.weight", "body.0.0.weight", "tail.x4.0.weight", "head.x4.0.0.weight"} <= moved
    assert not [name for name in moved if "x3" in name]


def test_scales_in_turn_are_refused_by_name_where_each_has_weights_of_its_own(
    tmp_path, train_small
):
    with pytest.raises(InputError, match="one body for the scales 2, 4, .* got elsr"):
        train_small(tmp_path, "elsr", {"scale": 2}, in_turn="2+4")
    with pytest.raises(InputError, match="scale 2 among 3[+]4"):
        train_small(tmp_path, "elsr", {"scale": 2}, in_turn="3+4")
    with pytest.raises(InputError, match="in_turn as 2[+]3[+]4"):
        train_small(tmp_path, "elsr", {"scale": 2}, in_turn="2,4")


def test_compiled_kernels_refuse_an_operation_by_name_and_auto_takes_paddle(tmp_path, train_small):
    pytest.importorskip("halide")
    from elsr_paddle.networks.weights import load_tensors

    model, config = SMALL["subpixel-cnn-prelu"]
    config = {**config, "scale": 2}
    with pytest.raises(InputError, match="batch norm"):
        train_small(tmp_path / "halide", model, config, kernels="halide")
    run = train_small(tmp_path / "auto", model, config, steps=4)
    assert load_tensors(run.state)[1]["identity"]["kernels"] == "paddle"


@pytest.mark.parametrize("model", ["edsr-baseline", "mdsr-baseline", "fsrcnn"])
def test_x4_starts_from_x2(model, tmp_path, train_small):
    from elsr_paddle.networks.weights import load_weights

    small = {"width": 4, "depth": 1}
    x2 = train_small(tmp_path / "x2", model, {**small, "scale": 2}, steps=4)
    x4 = train_small(tmp_path / "x4", model, {**small, "scale": 4}, steps=4, start=x2.last,
                     rate=1e-7)
    given, found = load_weights(x2.last)[0], load_weights(x4.last)[0]
    kept = [name for name in given if name.startswith(("head", "body"))]
    assert kept
    assert all(np.allclose(given[name], found[name], atol=1e-5) for name in kept)


def test_an_edge_oriented_block_is_its_branches_one_by_one():
    paddle = pytest.importorskip("paddle")
    from elsr_paddle.networks.linear_block import EDGES, EdgeBlock

    paddle.seed(0)
    block = EdgeBlock(4, 6, 3, 8)
    block.edge_scale.set_value(np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32))
    conv = paddle.nn.functional.conv2d
    x = paddle.to_tensor(np.random.default_rng(1).random((2, 4, 7, 9), np.float32))
    expected = conv(x, block.skip, block.bias, padding=1)
    expected += conv(conv(x, block.expand, padding=1), block.squeeze.unsqueeze([-1, -1]))
    for branch, edge in enumerate(EDGES):
        inner = conv(x, block.edge_inner[branch].unsqueeze([-1, -1]))
        kernel = paddle.to_tensor(np.broadcast_to(edge, (6, 1, 3, 3)).copy())
        kernel = kernel * block.edge_scale[branch].reshape([6, 1, 1, 1])
        expected += conv(inner, kernel, padding=1, groups=6)
    np.testing.assert_allclose(block(x).numpy(), expected.numpy(), atol=1e-5)
    weight, bias = block.weight.numpy() + 1, block.bias.numpy() + 2
    block.start_from(weight, bias)
    np.testing.assert_allclose(block.weight.numpy(), weight, atol=1e-5)


@pytest.mark.parametrize("kernels", ["paddle", "halide"])
def test_edge_oriented_blocks_train_alike_by_paddle_and_by_compiled_kernels(kernels, tmp_path):
    pytest.importorskip("paddle")
    if kernels == "halide":
        pytest.importorskip("halide")
    from elsr_paddle.training.run import Run
    from elsr_paddle.training.stages import STAGES
    from elsr_paddle.training.trainer import Trainer

    rng = np.random.default_rng(0)
    lr, hr = (rng.integers(0, 256, (2, side, side, 3), np.uint8) for side in (8, 16))
    stage = replace(STAGES[1], block="edge", expansion=4, batch_size=2, hr_patch=16, steps=50)
    gradients = []
    for way in ("paddle", kernels):
        trainer = Trainer(Run(stage, build("elsr-y", {"scale": 2, "width": 4, "depth": 1}),
                              tmp_path, kernels=way))
        trainer._optimizer.step = trainer._optimizer.clear_grad = lambda **_: None
        trainer.update(lr, hr)
        gradients.append({name: p.grad.numpy() for name, p in trainer.model.named_parameters()})
    assert any("edge_scale" in name for name in gradients[0])
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, atol=1e-5, rtol=1e-3)


def test_edges_without_an_expansion_are_refused():
    from elsr_paddle.training.stages import STAGES

    with pytest.raises(InputError, match="expansion above 0 for --block edge"):
        replace(STAGES[1], block="edge", expansion=0)


def test_auto_does_not_compile_a_kernel_of_tens_of_layers(trained):
    pytest.importorskip("halide")
    engine = make_engine(trained("edsr-baseline"), EngineOptions("auto"))
    assert engine.name != "halide"
    assert "halide: would compile a kernel of 36 layers for minutes, once" in engine.reason


def test_a_tile_holds_no_more_than_its_features_may_take():
    from elsr_paddle.engines.engine import tile_within_memory

    assert tile_within_memory(build("elsr", {}).graph, 2**16) == 2**16
    # 256 channels at x4: 4,096 values an LR pixel, of 2**27
    assert tile_within_memory(build("edsr", {"scale": 4}).graph, 2**16) == 2**15


@pytest.mark.parametrize("name", NETWORKS)
def test_no_option_of_a_network_clashes_with_one_of_training_or_of_import(name):
    from elsr_paddle.commands import import_, train

    (run,) = train.make_runs(train.parse(["--stage", "3", "--model", name, "--from-scratch"]))
    assert (run.network.name, run.network.graph.scale) == (name, 4)
    args = import_.parse(["a.pt", "--model", name, "-o", "a.safetensors"])
    assert args.model == name
