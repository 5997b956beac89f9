"""The losses: their values, their sums, and what the perceptual one needs."""

from dataclasses import replace

import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.networks import build
from elsr_paddle.training.losses import LOSSES, make_loss, vgg19_features
from elsr_paddle.training.run import Run
from elsr_paddle.training.stages import STAGES


def pictures(channels=3, seed=0):
    values = np.random.default_rng(seed).random((2, channels, 32, 32), np.float32)
    return paddle.to_tensor(values)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """A file of random weights of VGG19, as Paddle saves them, without what is not needed."""
    paddle.seed(0)
    layers = paddle.vision.models.vgg19(num_classes=0).features[:35]
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pdparams"
    paddle.save({f"features.{name}": tensor for name, tensor in layers.state_dict().items()},
                str(path))
    yield path
    vgg19_features.cache_clear()


def test_each_loss_is_its_formula():
    sr, hr = pictures(), pictures(seed=1)
    difference = sr.numpy() - hr.numpy()
    for name, expected in (("l1", np.abs(difference).mean()), ("l2", (difference**2).mean()),
                           ("charbonnier", np.sqrt(difference**2 + 1e-6).mean()),
                           ("psnr", 10 * np.log10((difference**2).mean((1, 2, 3)) + 1e-5).mean())):
        assert float(LOSSES[name](sr, hr)) == pytest.approx(float(expected), rel=1e-5)
        assert make_loss(name) is LOSSES[name]


def test_a_sum_adds_each_loss_times_its_factor():
    sr, hr = pictures(), pictures(seed=1)
    l1, l2 = (float(LOSSES[name](sr, hr)) for name in ("l1", "l2"))
    assert float(make_loss("l1+0.25*l2")(sr, hr)) == pytest.approx(l1 + 0.25 * l2, rel=1e-5)
    assert float(make_loss("2*l1")(sr, hr)) == pytest.approx(2 * l1, rel=1e-5)
    assert make_loss("1e-2*l2 + l1").terms == ((0.01, LOSSES["l2"]), (1.0, LOSSES["l1"]))


@pytest.mark.parametrize("text", ["l3", "", "l1+", "0.1*l3", "x*l1", "l1*0.1", "l1-l2"])
def test_what_is_no_loss_is_one_line(text):
    with pytest.raises(InputError,
                       match="expected a loss of l1, l2, charbonnier, psnr, perceptual, or"):
        make_loss(text)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_perceptual_loss_is_the_distance_of_vgg19_s_features(vgg, channels):
    model = paddle.vision.models.vgg19(num_classes=0)
    given = paddle.load(str(vgg))
    model.set_state_dict({**model.state_dict(), **given})
    sr, hr = pictures(channels), pictures(channels, seed=1)
    mean = paddle.to_tensor([0.485, 0.456, 0.406]).reshape([1, 3, 1, 1])
    deviation = paddle.to_tensor([0.229, 0.224, 0.225]).reshape([1, 3, 1, 1])
    features = []
    for x in (sr, hr):
        x = (paddle.concat([x] * (3 // channels), axis=1) - mean) / deviation
        for layer in list(model.features)[:35]:
            x = layer(x)
        features.append(x)
    expected = float((features[0] - features[1]).abs().mean())
    assert float(make_loss("perceptual", str(vgg))(sr, hr)) == pytest.approx(expected, rel=1e-4)
    assert float(make_loss("perceptual", str(vgg))(sr, sr)) == 0


def test_the_perceptual_loss_trains_the_network_and_not_vgg19(vgg, tmp_path):
    from elsr_paddle.training.trainer import Trainer

    rng = np.random.default_rng(0)
    lr, hr = (rng.integers(0, 256, (2, side, side, 3), np.uint8) for side in (16, 32))
    stage = replace(STAGES[1], loss="l1+0.1*perceptual", expansion=0, batch_size=2, hr_patch=32)
    trainer = Trainer(Run(stage, build("elsr", {"scale": 2}), tmp_path, vgg=str(vgg)))
    assert trainer.kernels == "paddle"  # the compiled step lacks the loss
    losses = [float(trainer.update(lr, hr)) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert all("features" not in name for name in trainer.tensors())
    with pytest.raises(InputError, match="no loss l1[+]0.1[*]perceptual"):
        Trainer(Run(stage, build("elsr", {"scale": 2}), tmp_path, vgg=str(vgg), kernels="halide"))


def test_without_weights_one_line_tells_what_to_give(tmp_path, monkeypatch):
    import paddle.utils.download as download

    def refuse(*_):
        raise RuntimeError("Downloading\nfailed")

    monkeypatch.setattr(download, "get_weights_path_from_url", refuse)
    vgg19_features.cache_clear()
    with pytest.raises(InputError, match=r"\(Downloading failed\): give --vgg FILE"):
        make_loss("perceptual")(pictures(), pictures())
    with pytest.raises(FileNotFoundError, match="missing"):
        make_loss("perceptual", str(tmp_path / "missing.pdparams"))(pictures(), pictures())


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    path = tmp_path / "vgg11.pdparams"
    paddle.save({"features.0.weight": paddle.zeros([64, 3, 3, 3])}, str(path))
    with pytest.raises(InputError, match=r"features\.0\.bias of shape \(64,\) in .*vgg11"):
        make_loss("perceptual", str(path))(pictures(), pictures())
