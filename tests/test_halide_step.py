"""The compiled training step: its gradients, its bits, what it refuses, and when it is taken."""

import platform
from dataclasses import replace

import numpy as np
import pytest

hl = pytest.importorskip("halide")
paddle = pytest.importorskip("paddle")

from elsr_paddle.data.pairs import Pairs  # noqa: E402
from elsr_paddle.errors import InputError  # noqa: E402
from elsr_paddle.networks import build  # noqa: E402
from elsr_paddle.networks import operations as ops  # noqa: E402
from elsr_paddle.networks.graph import Graph, begin  # noqa: E402
from elsr_paddle.networks.paddle_layer import PaddleNetwork, to_arrays  # noqa: E402
from elsr_paddle.training.fit import fit  # noqa: E402
from elsr_paddle.training.halide_step import HalideStep  # noqa: E402
from elsr_paddle.training.kernels import compiled_gradients  # noqa: E402
from elsr_paddle.training.losses import LOSSES  # noqa: E402
from elsr_paddle.training.planes import planes_of  # noqa: E402
from elsr_paddle.training.run import Run  # noqa: E402
from elsr_paddle.training.runs import read_metrics  # noqa: E402
from elsr_paddle.training.stages import STAGES  # noqa: E402
from elsr_paddle.training.trainer import Trainer, to_tensor  # noqa: E402

F = paddle.nn.functional


def elsr_y(x, width=10, scale=4):
    head = x.conv("head", width).prelu("slopes_0")
    body = head.conv("body_0", width).prelu("slopes_1").conv("body_1", width)
    return (body + head).prelu("slopes_2").conv("tail", scale**2).pixel_shuffle(scale)


def rgb_with_all_kernels(x):
    """5x5, 1x1 and 3x3; one slope for all channels; no activation after the first convolution."""
    head = x.conv("head", 6, 5)
    body = head.conv("body_0", 6, 1).prelu("slopes", shared=True).conv("body_1", 6, 1)
    return (body + head).conv("tail", 27, 5).pixel_shuffle(3)


def all_activations(x):
    """Widths of 24, 12, 16 and 3, and an activation in the end."""
    x = x.conv("a", 24).activate("relu").conv("b", 12).activate("leaky_relu")
    x = x.conv("gelu", 12).activate("gelu")
    return x.conv("c", 16, 1).activate("tanh").conv("d", 12).activate("tanh").pixel_shuffle(2)


def branches(x):
    """Values that several convolutions and sums read, sums of sums, and no pixel shuffle."""
    x = x.conv("a", 11).prelu("slopes_a")
    left, right = x.conv("b", 11, 1), x.conv("c", 11)
    both = (left + right).activate("relu")
    again = (both + both) + x
    return (again.conv("d", 3) + both.conv("e", 3)).activate("tanh")


def residual_of_the_input(x):
    """The input is added to what is made of it, before and after the wide part."""
    features = x.conv("a", 3) + x
    wide = features.conv("b", 48).prelu("slopes").conv("c", 48)
    return (wide + features.conv("d", 48, 1)).pixel_shuffle(4)


def tiny(x):
    return x.conv("a", 4).prelu("slopes").conv("b", 4).pixel_shuffle(2)


CASES = {  # network, channels, batch, height, width, loss
    "elsr-y": (elsr_y, 1, 4, 36, 36, "l1"),
    "rgb": (rgb_with_all_kernels, 3, 3, 13, 7, "l2"),
    "activations": (all_activations, 3, 4, 16, 33, "charbonnier"),
    "branches": (branches, 1, 5, 5, 18, "l2"),
    "tiny": (tiny, 1, 4, 6, 6, "l2"),
    "psnr": (elsr_y, 1, 6, 12, 20, "psnr"),
    "psnr of rgb": (rgb_with_all_kernels, 3, 3, 13, 7, "psnr"),
    "residual": (residual_of_the_input, 3, 2, 9, 12, "l1"),
}


def graph_of(define, channels):
    return Graph(tuple(define(begin(channels)).draft.nodes))


def problem(case):
    """A graph with a batch and parameters that all matter."""
    define, channels, batch, height, width, loss = CASES[case]
    graph, rng = graph_of(define, channels), np.random.default_rng(0)

    def draw(shape):
        if len(shape) == 4:
            return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        return rng.uniform(-0.2, 0.4, shape)

    arrays = {name: draw(shape).astype(np.float32) for name, shape in graph.parameters().items()}
    scale, colours = graph.scale, graph.widths[-1]
    lr = rng.random((batch, channels, height, width), np.float32)
    hr = rng.random((batch, colours, scale * height, scale * width), np.float32)
    return graph, loss, arrays, lr, hr


def step_for(case, threads=1):
    _, _, batch, height, width, loss = CASES[case]
    return HalideStep(problem(case)[0], batch, height, width, loss, threads)


def by_paddle(graph, loss, arrays, lr, hr):
    """Loss and gradients by Paddle's own operations in float64: in float32 its sum for a bias is
    off by 1e-4."""
    tensors = {name: paddle.to_tensor(array.astype(np.float64), stop_gradient=False)
               for name, array in arrays.items()}
    values = [paddle.to_tensor(lr.astype(np.float64))]
    for node in graph.nodes[1:]:
        given = [values[source] for source in node.sources]
        values.append(apply_in_paddle(node.op, tensors, *given))
    total = LOSSES[loss](values[-1], paddle.to_tensor(hr.astype(np.float64)))
    total.backward()
    return float(total), {name: tensor.grad.numpy() for name, tensor in tensors.items()}


def apply_in_paddle(op, tensors, *given):
    if isinstance(op, ops.Conv):
        return F.conv2d(*given, tensors[op.weight], tensors[op.bias], padding=op.reach)
    if isinstance(op, ops.PReLU):
        return F.prelu(*given, *(tensors[name] for name in op.parameters()))
    return {ops.ReLU: F.relu, ops.Tanh: paddle.tanh, ops.Add: paddle.add,
            ops.LeakyReLU: lambda x: F.leaky_relu(x, op.slope), ops.GELU: F.gelu,
            ops.PixelShuffle: lambda x: F.pixel_shuffle(x, op.scale)}[type(op)](*given)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_paddle_s(case):
    graph, loss, arrays, lr, hr = problem(case)
    expected_loss, expected = by_paddle(graph, loss, arrays, lr, hr)
    tensors = {name: paddle.to_tensor(array, stop_gradient=False)
               for name, array in arrays.items()}
    made = step_for(case)(tensors, lr, hr)
    (2 * made).backward()
    assert float(made) == pytest.approx(expected_loss, rel=1e-5)
    for name, gradient in expected.items():
        difference = np.linalg.norm(tensors[name].grad.numpy() / 2 - gradient)
        assert difference < 1e-5 * np.linalg.norm(gradient), name


def test_a_frozen_parameter_gets_no_gradient():
    _, _, arrays, lr, hr = problem("tiny")
    tensors = {name: paddle.to_tensor(array, stop_gradient=name == "a.weight")
               for name, array in arrays.items()}
    step_for("tiny")(tensors, lr, hr).backward()
    assert [name for name, tensor in tensors.items() if tensor.grad is None] == ["a.weight"]


@pytest.mark.parametrize("case", ["elsr-y", "rgb"])
def test_the_bits_are_the_same_at_every_run_on_any_number_of_threads(case):
    _, _, arrays, lr, hr = problem(case)
    steps = [step_for(case, threads) for threads in (1, 2, 3)]
    made = [step.gradients(arrays, lr, hr) for step in (*steps, *steps)]
    for loss, gradients in made[1:]:
        assert loss == made[0][0]
        for name, gradient in made[0][1].items():
            assert gradient.tobytes() == gradients[name].tobytes()


def test_a_step_leaves_nothing_behind_not_even_after_a_network_that_diverged():
    _, _, arrays, lr, hr = problem("rgb")
    step = step_for("rgb")
    before = step.gradients(arrays, lr, hr)
    bad = {name: np.full_like(array, np.nan) for name, array in arrays.items()}
    assert np.isnan(step.gradients(bad, lr, hr)[0])
    after = step.gradients(arrays, lr, hr)
    assert before[0] == after[0]
    for name, gradient in before[1].items():
        np.testing.assert_array_equal(gradient, after[1][name])


def test_without_a_c_compiler_kernels_are_compiled_in_memory_and_give_the_same_bits(
    monkeypatch, tmp_path
):
    _, _, arrays, lr, hr = problem("tiny")
    loss, gradients = step_for("tiny").gradients(arrays, lr, hr)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    step = step_for("tiny")
    assert step.note == "compiled in memory"
    made = step.gradients(arrays, lr, hr)
    assert made[0] == loss
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(made[1][name], gradient)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of x86 alone")
def test_a_processor_with_shorter_vectors_gives_the_same_gradients(monkeypatch):
    graph, loss, arrays, lr, hr = problem("tiny")
    system = hl.get_host_target().to_string().split("-")[2]
    target = hl.Target(f"x86-64-{system}-avx-avx2-f16c-fma-sse41")
    monkeypatch.setattr(hl, "get_host_target", lambda: target)
    _, gradients = step_for("tiny").gradients(arrays, lr, hr)
    for name, gradient in by_paddle(graph, loss, arrays, lr, hr)[1].items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-4, atol=1e-6)


def sigmoid(x):
    return x.conv("a", 4).activate("sigmoid").conv("b", 4)


def input_first(x):
    return x.activate("relu").conv("a", 4)


@pytest.mark.parametrize("define, name", [(sigmoid, "sigmoid"), (input_first, "of the input")])
def test_what_has_no_kernel_is_refused_by_name(define, name):
    with pytest.raises(ops.Unsupported, match=name):
        HalideStep(graph_of(define, 1), 4, 8, 8, "l1")


def test_a_loss_without_kernel_is_refused_by_name():
    with pytest.raises(ops.Unsupported, match="no loss huber"):
        HalideStep(graph_of(elsr_y, 1), 4, 8, 8, "huber")


@pytest.mark.parametrize("case, channels", [("elsr-y", 1), ("rgb", 3)])
def test_pictures_are_taken_as_the_planes_of_paddle_and_with_the_bits_of_numpy_s(case, channels):
    _, _, batch, height, width, _ = CASES[case]
    graph, _, arrays, _, _ = problem(case)
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (batch, s * height, s * width, 3), dtype=np.uint8)
                for s in (1, graph.scale)]
    planes = [planes_of(images, channels) for images in pictures]
    step = step_for(case)
    loss, gradients = step.gradients(arrays, *pictures)
    expected_loss, expected = step.gradients(arrays, *planes)
    assert loss == expected_loss
    for name, gradient in expected.items():
        np.testing.assert_array_equal(gradients[name], gradient)
    for array, images in zip(planes, pictures):
        np.testing.assert_allclose(array, to_tensor(images, channels).numpy(), atol=2e-7)


def make_run(folder, kernels="auto", model="elsr-y", amp=False, **row):
    row = {"steps": 30, "hr_patch": 32, "batch_size": 4, "expansion": 4, "loss": "l2",
           "learning_rate": 1e-3, **row}
    network = build(model, {"scale": 2, "width": 4, "depth": 1} if model == "elsr-y" else {})
    return Run(replace(STAGES[1], **row), network, folder, validate_every=15, log_every=1,
               val_rows=2, amp=amp, kernels=kernels)


@pytest.mark.parametrize("expansion", [0, 8])
def test_steps_of_adam_and_the_average_follow_paddle_s(tmp_path, expansion):
    rng = np.random.default_rng(0)
    trainers = [Trainer(make_run(tmp_path, kernels, expansion=expansion))
                for kernels in ("halide", "paddle")]
    for _ in range(3):
        lr = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
        hr = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        ours, theirs = (float(trainer.update(lr, hr)) for trainer in trainers)
        assert ours == pytest.approx(theirs, rel=1e-5)
    for kind in ("model", "kept"):
        ours, theirs = (to_arrays(getattr(trainer, kind)) for trainer in trainers)
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, atol=1e-5, err_msg=name)


def train(run, data):
    return fit(run, Pairs(data / "train_x2.h5"), Pairs(data / "val_x2.h5"))


def test_a_stage_follows_the_curve_of_paddle(tmp_path, training_data):
    curves = []
    for kernels in ("paddle", "auto"):
        run = make_run(tmp_path / kernels, kernels)
        train(run, training_data)
        curves.append([line["loss"] for line in read_metrics(run.metrics)])
    np.testing.assert_allclose(*curves, rtol=1e-3)


def test_a_state_is_continued_by_the_kernels_that_made_it(tmp_path, training_data, caplog):
    caplog.set_level("INFO", "elsr_paddle")
    for kernels, other in (("paddle", "halide"), ("halide", "paddle")):
        run = make_run(tmp_path / kernels, kernels)
        train(run, training_data)
        with pytest.raises(InputError, match=f"kernels: {kernels} -> {other}"):
            train(replace(run, kernels=other), training_data)
        caplog.clear()
        train(replace(run, kernels="auto"), training_data)
        assert f"kernels: {kernels}" in caplog.text


def test_auto_leaves_to_paddle_what_has_no_kernel_and_says_why(tmp_path):
    model = PaddleNetwork(build("srcnn", {}))
    compiled, note = compiled_gradients(make_run(tmp_path), model)
    assert compiled is None
    assert "bicubic" in note
    with pytest.raises(ops.Unsupported, match="bicubic"):
        compiled_gradients(make_run(tmp_path, "halide"), model)


def test_mixed_precision_is_left_to_paddle(tmp_path):
    compiled, note = compiled_gradients(make_run(tmp_path, amp=True),
                                        PaddleNetwork(build("elsr", {})))
    assert compiled is None
    assert "without --amp" in note
