"""The command `train`: where its options come from, what it says, what it writes down."""

import json
import re
import threading

import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.commands.train import describe, duration, main, make_runs, parse
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks.weights import load_weights
from elsr_paddle.training.stages import STAGES

SMALL = ["--steps", "4", "--log-every", "2", "--validate-every", "4", "--val-rows", "2",
         "--batch-size", "4", "--hr-patch", "32", "--expansion", "4"]  # fmt: skip


def runs(*argv):
    return make_runs(parse([str(part) for part in argv]))


def train(data, out, *argv):
    folders = ["--data", data, "--out", out, "--plots", out / "plots"]
    return main([str(part) for part in (*folders, *SMALL, *argv)])


def test_without_flags_a_run_is_the_table_s_with_the_network_s_own_defaults():
    (run,) = runs("--stage", "2")
    assert run.stage == STAGES[2]
    assert (run.network.name, run.network.scale, run.network.width) == ("elsr", 4, 6)
    assert (run.seed, run.amp, run.deterministic) == (0, False, True)


def test_flags_replace_values_of_every_stage_asked_for():
    found = runs("--stage", "1..2", "--loss", "charbonnier", "--scale", "3", "--hr-patch", "96",
                 "--width", "8", "--seed", "7", "--no-deterministic")  # fmt: skip
    assert [run.stage.number for run in found] == [1, 2]
    for run in found:
        assert (run.stage.loss, run.stage.scale, run.stage.steps) == ("charbonnier", 3, 8000)
        assert (run.network.width, run.network.scale) == (8, 3)
        assert (run.seed, run.deterministic) == (7, False)


def test_each_network_has_its_own_flags_and_no_other_s():
    (run,) = runs("--stage", "3", "--model", "espcn", "--scale", "3", "--activation", "gelu")
    assert run.network.config == {"scale": 3, "activation": "gelu", "colour": "y"}
    with pytest.raises(InputError, match="unrecognized arguments: --width 8"):
        runs("--stage", "3", "--model", "espcn", "--width", "8")
    with pytest.raises(InputError, match="expected a network of elsr, .* but got 'espnc'"):
        runs("--stage", "3", "--model", "espnc")


def test_an_option_out_of_its_range_is_refused_by_name():
    for flag, value in (("--val-rows", 0), ("--ema-decay", 1), ("--width", 0), ("--seed", 2**63)):
        with pytest.raises(InputError, match=flag[2:].replace("-", "_")):
            runs("--stage", 1, flag, value)
    with pytest.raises(InputError, match="multiple of scale 3 but got 64; give --hr-patch"):
        runs("--stage", 1, "--scale", 3)


def test_a_file_of_options_stands_in_for_flags_and_flags_win(tmp_path):
    pytest.importorskip("yaml")
    path = tmp_path / "options.yaml"
    path.write_text("stage: 3\nmodel: espcn\nscale: 3\nactivation: relu\nlearning-rate: 2e-4\n"
                    "steps: 50\ndeterministic: no\n")  # fmt: skip
    (run,) = runs("--config", path, "--steps", 60)
    assert (run.stage.number, run.stage.steps, run.stage.learning_rate) == (3, 60, 2e-4)
    assert (run.network.name, run.network.activation) == ("espcn", "relu")
    assert not run.deterministic


@pytest.mark.parametrize(
    ("text", "message"),
    [("loss: l3", "expected a loss of l1, l2"),
     ("tint: red", "options that do not exist: tint"),
     ("model: espcn\nwidth: 6", "options that espcn does not have: width"),
     ("model: espnc", "expected a network of"),
     ("amp: maybe", "expected amp to be one of True, False")],
)  # fmt: skip
def test_what_a_file_of_options_cannot_mean_is_one_line(tmp_path, text, message):
    pytest.importorskip("yaml")
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        runs("--stage", 1, "--config", path)
    assert "\n" not in str(caught.value)


def test_the_options_used_are_written_beside_the_weights(tmp_path, training_data):
    train(training_data, tmp_path, "--stage", "1", "--seed", "3", "--width", "5")
    options = json.loads((tmp_path / "stage1" / "config.json").read_text())
    assert (options["width"], options["seed"], options["steps"], options["loss"]) == (5, 3, 4, "l1")
    metadata = load_weights(tmp_path / "stage1" / "last.safetensors")[1]
    assert {**metadata["config"], "seed": metadata["seed"]}.items() <= options.items()


def test_the_options_of_an_earlier_run_make_it_again(tmp_path):
    pytest.importorskip("yaml")
    (run,) = runs("--stage", 4, "--model", "elsr-y", "--steps", 7, "--depth", 3, "--seed", 5)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(run.options()))
    assert runs("--config", path) == [run]


def test_a_deep_network_takes_a_share_of_the_rows_learning_rate_and_a_flag_wins():
    (paper,), (deep,) = runs("--stage", 3), runs("--stage", 3, "--model", "elsr-m")
    (given,) = runs("--stage", 3, "--model", "elsr-m", "--learning-rate", 1e-4)
    assert paper.stage.learning_rate == STAGES[3].learning_rate
    assert deep.stage.learning_rate == STAGES[3].learning_rate / 4
    assert given.stage.learning_rate == 1e-4


def test_progress_as_json_is_all_that_stdout_carries(tmp_path, training_data, capsys):
    train(training_data, tmp_path, "--stage", "1", "--progress", "json")
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[0]["seconds_left"] > 0 == lines[1]["seconds_left"]
    assert "psnr_rgb_db" in lines[1]
    assert "stage 1 starts from scratch" in err


def test_each_line_of_progress_tells_the_time_left(tmp_path, training_data, capsys):
    train(training_data, tmp_path, "--stage", "1")
    first, last = (line for line in capsys.readouterr().out.splitlines() if " step " in line
                   and "left" in line)  # fmt: skip
    assert "stage 1 step 2/4 loss 0." in first
    assert last.partition("; RGB ")[0].endswith(" 0 s left")
    record = {"stage": 2, "step": 300, "loss": 0.0312, "steps_per_second": 61.0}
    assert describe({**record, "seconds_left": 126.2}, 8000) == (
        "stage 2 step 300/8000 loss 0.03120, 61.0 steps/s, 2 min 6 s left")


def test_durations_are_told_in_two_units():
    assert [duration(seconds) for seconds in (0, 59.4, 59.6, 3599, 3600, 90061)] == [
        "0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 1 min"]  # fmt: skip


def test_the_command_runs_in_a_thread_which_gets_no_signals(tmp_path, training_data):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(train(training_data, tmp_path, "--stage", "1"))
    )
    thread.start()
    thread.join()
    assert found == [0]


def test_weights_of_another_network_are_refused_in_words(tmp_path, training_data):
    train(training_data, tmp_path, "--stage", "1")
    with pytest.raises(InputError, match="holds elsr, from which elsr-y cannot start"):
        train(training_data, tmp_path, "--stage", "2", "--model", "elsr-y")


def test_a_network_that_ships_can_be_trained_on(tmp_path, training_data, capsys):
    train(training_data, tmp_path, "--stage", "4", "--weights", "elsr")
    assert "elsr_x4.safetensors" in capsys.readouterr().out
    with pytest.raises(InputError, match="a network that ships"):
        train(training_data, tmp_path, "--stage", "4", "--weights", "els")


def test_a_scale_without_pairs_says_how_to_make_them(tmp_path, training_data):
    with pytest.raises(InputError, match=r"no such file: .*train_x3\.h5; make it with"):
        train(training_data, tmp_path, "--stage", "3", "--scale", "3", "--from-scratch",
              "--hr-patch", "48")  # fmt: skip


def test_pictures_are_trained_on_as_they_are_with_nothing_packed(tmp_path, capsys):
    photos = tmp_path / "photos"
    for number, top in enumerate(range(0, 400, 80)):
        write_image(photos / f"{number}.png", np.ascontiguousarray(astronaut()[top:top + 80, :96]))
    (photos / "broken.png").write_bytes(b"no picture")
    train(photos, tmp_path, "--stage", "3", "--from-scratch", "--photos")
    said = capsys.readouterr().out
    assert re.search("left out: .*broken.png", said)
    assert not list(tmp_path.rglob("*.h5"))
    assert (tmp_path / "stage3" / "best.safetensors").exists()
