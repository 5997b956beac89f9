"""A stage of training: its arithmetic, its repeatability, how it is stopped and continued."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.pairs import Pairs, pair_writer
from elsr_paddle.data.patches import PatchBatches
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import mean_psnr
from elsr_paddle.framework import paddle
from elsr_paddle.networks import build
from elsr_paddle.networks.paddle_layer import to_arrays
from elsr_paddle.networks.weights import load_tensors, load_weights, read, save_tensors
from elsr_paddle.training.fit import fit
from elsr_paddle.training.losses import LOSSES
from elsr_paddle.training.run import Run
from elsr_paddle.training.runs import read_metrics
from elsr_paddle.training.stages import STAGES
from elsr_paddle.training.trainer import Trainer, to_tensor
from elsr_paddle.training.validation import image_function

SMALL = {"hr_patch": 32, "batch_size": 4, "expansion": 4}


def make_run(folder, number=1, steps=8, model="elsr", **row):
    stage = replace(STAGES[number], steps=steps, **{**SMALL, **row})
    network = build(model, {"scale": stage.scale})
    return Run(stage, network, folder, validate_every=4, log_every=2, val_rows=2)


def train(run, data, **options):
    scale = run.stage.scale
    return fit(run, Pairs(data / f"train_x{scale}.h5"), Pairs(data / f"val_x{scale}.h5"), **options)


@pytest.fixture(scope="module")
def aliased_data(tmp_path_factory, training_data):
    """The HR images of the x2 training data with LR images by OpenCV's cubic."""
    folder, kind = tmp_path_factory.mktemp("aliased"), "opencv_cubic"
    for part in ("train", "val"):
        with pair_writer(folder / f"{part}_x2.h5", scale=2, degradation=kind) as pairs:
            for _, hr in Pairs(training_data / f"{part}_x2.h5"):
                pairs.add(*make_pair(hr, 2, kind), clip=part)
    return folder


def test_the_same_seed_gives_the_same_bits_and_another_one_others(tmp_path, training_data):
    runs = [make_run(tmp_path / name) for name in ("a", "b", "c")]
    runs[2] = replace(runs[2], seed=1)
    for run in runs:
        train(run, training_data)
    a, b, c = (run.last.read_bytes() for run in runs)
    assert a == b != c


@pytest.mark.parametrize(
    ("number", "row"),
    [(3, {}), (4, {}), (3, {"loss": "charbonnier"})],  # L1 and L2 by the table, both x4
)
def test_the_loss_is_that_of_the_stage(tmp_path, training_data, number, row):
    run = make_run(tmp_path, number, **row)
    pairs = Pairs(training_data / "train_x4.h5")
    lr, hr = PatchBatches(pairs, hr_patch=32, batch_size=4, seed=0)[0]
    trainer = Trainer(run)
    difference = trainer.model(to_tensor(lr)).numpy() - hr.transpose(0, 3, 1, 2) / 255
    expected = {"l1": np.abs(difference).mean(), "l2": (difference**2).mean(),
                "charbonnier": np.sqrt(difference**2 + 1e-6).mean()}[run.stage.loss]
    assert float(trainer.update(lr, hr)) == pytest.approx(float(expected), rel=1e-4)


def test_the_rate_of_each_step_is_the_table_s(tmp_path, training_data):
    run = make_run(tmp_path, steps=12)
    train(run, training_data)
    for line in read_metrics(run.metrics):
        assert line["learning_rate"] == run.stage.learning_rate_at(line["step"] - 1)


def test_stage_2_starts_from_stage_1s_body(tmp_path, training_data, caplog):
    caplog.set_level("INFO")
    first, second = make_run(tmp_path / "stage1", 1), make_run(tmp_path / "stage2", 2)
    train(first, training_data)
    second = replace(second, stage=replace(second.stage, learning_rate=1e-12, ema_decay=0.0))
    train(second, training_data, start=first.best)
    assert "fresh parameters: tail.bias, tail.weight" in caplog.text
    given, taken = load_weights(first.best)[0], load_weights(second.last)[0]
    for name in ("head.weight", "body.0.weight", "body.1.weight", "body.2.bias"):
        np.testing.assert_allclose(given[name], taken[name], atol=1e-6)


def test_training_on_a_photo_lowers_the_loss_and_beats_the_start(tmp_path, training_data):
    run = make_run(tmp_path, steps=60, batch_size=8)
    best = train(run, training_data)
    lines = read_metrics(run.metrics)
    assert lines[-1]["loss"] < lines[0]["loss"]
    first = next(line for line in lines if "psnr_rgb_db" in line)
    assert best["psnr_rgb_db"] > first["psnr_rgb_db"]
    weights, metadata = load_weights(run.best)
    assert metadata["stage"]["loss"] == "l1"
    assert metadata["step"] == best["step"]


def test_weights_tell_on_what_lr_they_were_trained(tmp_path, training_data, aliased_data):
    for data, degradation in ((training_data, "bicubic"), (aliased_data, "opencv_cubic")):
        run = make_run(tmp_path / degradation, steps=2)
        train(run, data)
        for path in (run.best, run.last):
            assert load_weights(path)[1]["degradation"] == degradation


def test_validation_is_the_mean_of_per_image_psnrs_of_8_bit_pictures(tmp_path, training_data):
    pairs = Pairs(training_data / "val_x2.h5")
    model = Trainer(make_run(tmp_path)).kept
    squared = []
    for lr, hr in pairs:
        output = model(to_tensor(lr[None])).numpy()[0].transpose(1, 2, 0)
        sr = np.rint(output.clip(0, 1) * 255)
        squared.append(((sr - hr) ** 2).mean())
    expected = np.mean([10 * np.log10(255**2 / error) for error in squared])
    measured = mean_psnr(image_function(model), pairs, rows=len(pairs))
    assert measured["rgb_db"] == pytest.approx(expected, abs=0.01)


def test_averaged_weights_follow_the_trained_ones(tmp_path, training_data):
    run = make_run(tmp_path, ema_decay=0.5)
    batches = PatchBatches(Pairs(training_data / "train_x2.h5"), hr_patch=32, batch_size=4, seed=0)
    trainer = Trainer(run)
    average = to_arrays(trainer.model)["head.bias"]
    for step in range(3):
        trainer.update(*batches[step])
        decay = min(0.5, (step + 1) / (step + 11))
        average = decay * average + (1 - decay) * to_arrays(trainer.model)["head.bias"]
    np.testing.assert_allclose(to_arrays(trainer.kept)["head.bias"], average, rtol=1e-5)


def test_divergence_is_one_line_and_keeps_the_last_good_state(tmp_path, training_data):
    run = make_run(tmp_path, steps=8)
    train(run, training_data)
    good = run.state.read_bytes(), run.best.read_bytes()
    longer = replace(run, stage=replace(run.stage, steps=40, learning_rate=1e30))
    tensors, progress = load_tensors(run.state)
    progress["identity"].update(steps=40, learning_rate=1e30)
    save_tensors(run.state, tensors, progress)
    good = run.state.read_bytes(), run.best.read_bytes()
    with pytest.raises(InputError, match="diverged by step"):
        train(longer, training_data)
    assert (run.state.read_bytes(), run.best.read_bytes()) == good


def test_a_state_of_another_run_is_refused(tmp_path, training_data):
    run = make_run(tmp_path)
    train(run, training_data)
    for other in (replace(run, seed=5), make_run(tmp_path, steps=9), make_run(tmp_path, loss="l2")):
        with pytest.raises(InputError, match="belongs to another run"):
            train(other, training_data)


def test_a_state_is_continued_with_lr_of_its_own_kind_alone(tmp_path, training_data, aliased_data):
    run = make_run(tmp_path)
    train(run, training_data)
    with pytest.raises(InputError, match="run .degradation: bicubic -> opencv_cubic"):
        train(run, aliased_data)


def test_a_run_stays_until_the_one_that_overwrites_it_can_begin(tmp_path, training_data):
    run = make_run(tmp_path)
    train(run, training_data)
    before = run.best.read_bytes()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"x")
    too_large = make_run(tmp_path, hr_patch=640)
    for other, start in ((run, bad), (too_large, None)):
        with pytest.raises(InputError):
            train(other, training_data, start=start, overwrite=True)
        assert run.best.read_bytes() == before
    train(run, training_data, start=run.best, overwrite=True)  # even from its own weights
    assert run.best.read_bytes() != before


def test_a_stage_is_not_taken_for_done_once_the_one_before_is_trained_anew(tmp_path, training_data):
    first, second = make_run(tmp_path / "stage1", 1), make_run(tmp_path / "stage2", 2)
    train(first, training_data)
    train(second, training_data, start=first.best)
    train(second, training_data, start=first.best)  # done: continues to nothing
    train(replace(first, seed=5), training_data, overwrite=True)
    with pytest.raises(InputError, match="belongs to another run .starts from"):
        train(second, training_data, start=first.best)


@pytest.mark.parametrize("name", ["validate_every", "log_every", "val_rows", "seed"])
def test_numbers_that_no_run_can_have_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=name):
        replace(make_run(tmp_path), **{name: -1})


def test_damaged_metrics_are_one_line_and_a_cut_last_one_is_none(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    assert read_metrics(path) == [{"step": 1}]
    path.write_text('{"st\n{"step": 1}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged"):
        read_metrics(path)


def test_a_damaged_state_is_refused(tmp_path, training_data):
    run = make_run(tmp_path)
    train(run, training_data)
    run.state.write_bytes(run.state.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"state\.safetensors is damaged"):
        train(run, training_data)


@pytest.mark.parametrize("expansion", [0, 4])
def test_espcns_tail_learns_at_a_tenth_of_the_rate(tmp_path, training_data, expansion):
    run = make_run(tmp_path, 3, model="espcn", expansion=expansion, learning_rate=1e-3)
    trainer = Trainer(run)
    before = {name: p.numpy() for name, p in trainer.model.named_parameters()}
    pairs = Pairs(training_data / "train_x4.h5")
    trainer.update(*PatchBatches(pairs, hr_patch=32, batch_size=4, seed=0)[0])
    rate = run.stage.learning_rate_at(0)
    for name, parameter in trainer.model.named_parameters():
        # The first update of Adam is as long as the rate, wherever there is a gradient.
        longest = np.abs(parameter.numpy() - before[name]).max()
        factor = 0.1 if name.startswith("tail") else 1.0
        assert longest == pytest.approx(factor * rate, rel=0.01), name


@pytest.mark.parametrize("model", ["elsr", "elsr-y", "elsr-m", "espcn"])
def test_every_network_learns_and_continues_to_the_same_bits(tmp_path, training_data, model):
    whole = make_run(tmp_path / "whole", 3, steps=24, model=model, ema_decay=0.9)
    train(whole, training_data)
    lines = read_metrics(whole.metrics)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert read(whole.last).network == whole.network

    class KilledError(Exception):
        pass

    def kill(record):
        if record["step"] == 10:
            raise KilledError

    halved = replace(whole, folder=tmp_path / "halved")
    with pytest.raises(KilledError):
        train(halved, training_data, on_metrics=kill)
    train(halved, training_data)
    assert halved.last.read_bytes() == whole.last.read_bytes()
    assert halved.best.read_bytes() == whole.best.read_bytes()


def test_mixed_precision_is_for_the_network_alone(tmp_path, training_data, monkeypatch):
    # Paddle has no mixed precision on a CPU: the network's part is told by the block it runs in.
    running = []

    @contextmanager
    def auto_cast(enable):
        running.append(enable)
        yield
        running.pop()

    seen = []

    def loss(sr, hr):
        seen.append((sr.dtype, hr.dtype, any(running)))
        return LOSSES["l1"](sr, hr)

    def half(layer, given, sr):
        seen.append((given[0].dtype, any(running)))
        return sr.astype("bfloat16")

    def watched(images, channels):
        assert not any(running)
        return to_tensor(images, channels)

    monkeypatch.setattr(paddle.amp, "auto_cast", auto_cast)
    monkeypatch.setitem(LOSSES, "charbonnier", loss)
    monkeypatch.setattr("elsr_paddle.training.trainer.to_tensor", watched)
    run = make_run(tmp_path, 3, model="elsr-y", loss="charbonnier")
    trainer = Trainer(replace(run, amp=True))
    trainer.model.register_forward_post_hook(half)
    pairs = Pairs(training_data / "train_x4.h5")
    trainer.loss(*PatchBatches(pairs, hr_patch=32, batch_size=4, seed=0)[0])
    single = paddle.float32
    assert seen == [(single, True), (single, single, False)]


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_computes_float32_as_float32_wherever_bits_or_figures_are_promised(
    tmp_path, training_data, monkeypatch, deterministic
):
    # No GPU here: what would be told to it is written down.
    told = []
    for module in ("fit", "validation"):
        monkeypatch.setattr(f"elsr_paddle.training.{module}.use_tf32",
                            lambda allowed: told.append("tf32" if allowed else "float32"))
    monkeypatch.setattr("elsr_paddle.training.fit.make_deterministic",
                        lambda device: told.append(f"deterministic {device}"))
    run = replace(make_run(tmp_path, steps=4), deterministic=deterministic)
    train(run, training_data)
    if deterministic:
        assert told == ["deterministic cpu", "float32", "float32"]
    else:
        assert told == ["tf32", "float32", "tf32"]
    with pytest.raises(InputError, match="belongs to another run .deterministic"):
        train(replace(run, deterministic=not deterministic), training_data)


def test_gradients_are_finite_and_reach_every_parameter(tmp_path, training_data):
    lr, hr = PatchBatches(
        Pairs(training_data / "train_x2.h5"), hr_patch=32, batch_size=4, seed=0
    )[0]
    trainer = Trainer(make_run(tmp_path))
    paddle.nn.functional.l1_loss(trainer.model(to_tensor(lr)), to_tensor(hr)).backward()
    for name, parameter in trainer.model.named_parameters():
        assert np.abs(parameter.grad.numpy()).max() > 0, name
