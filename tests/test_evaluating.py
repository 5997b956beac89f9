"""Which weights `test` and `test-video` take, and what they say of damaged ones."""

import argparse

import pytest

from elsr_paddle.commands.evaluating import (
    add_evaluation_flags,
    choose_every_kind,
    choose_trained,
)
from elsr_paddle.errors import InputError
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import save_tensors


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in the place of the networks that ship with the package."""
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def out(tmp_path, shipped):
    """A folder for the stages of training."""
    return tmp_path / "out"


def flags(*given):
    parser = argparse.ArgumentParser()
    add_evaluation_flags(parser, "test")
    return parser.parse_args(list(map(str, given)))


@pytest.fixture
def chosen(out):
    """The file that flags choose: chosen("--scale", 4)."""
    return lambda *given: choose_trained(flags(*given), out).path


@pytest.fixture
def save(trained):
    """Writes weights of any network: save(path, "elsr-y", scale=4)."""

    def write(path, model, **config):
        made = trained(model, **config)
        save_tensors(path, made.graph.arrays, made.metadata)
        return path

    return write


def test_the_highest_stage_of_the_scale_wanted_is_the_default(out, chosen, save_nearest):
    for stage, scale in ((1, 2), (2, 4), (10, 4), (9, 4)):
        save_nearest(out / f"stage{stage}/best.safetensors", scale)
    assert chosen() == out / "stage10/best.safetensors"
    assert chosen("--scale", 2) == out / "stage1/best.safetensors"


def test_what_ships_is_taken_where_nothing_was_trained(out, shipped, chosen, save_nearest):
    save_nearest(shipped / "elsr_x4.safetensors")
    assert chosen() == chosen("--model", "elsr") == shipped / "elsr_x4.safetensors"
    trained = save_nearest(out / "stage4/best.safetensors")
    assert chosen() == chosen("--model", "elsr") == trained


def test_every_network_may_be_named_by_its_model(out, chosen, save):
    path = save(out / "stage1/best.safetensors", "espcn", scale=4)
    assert chosen("--model", "espcn") == path


def test_the_weights_made_for_the_lr_that_is_tested_are_taken(out, shipped, chosen, save_nearest):
    plain = save_nearest(shipped / "elsr_x4.safetensors")
    aliased = save_nearest(shipped / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    assert chosen("--protocol", "port") == chosen("--degradation", "opencv_cubic") == aliased
    assert chosen("--protocol", "y") == chosen("--degradation", "blur_noise") == plain
    trained = save_nearest(out / "stage4/best.safetensors")
    assert chosen() == chosen("--degradation", "blur_noise") == trained
    assert chosen("--protocol", "port") == aliased
    fitting = save_nearest(out / "stage3/best.safetensors", degradation="opencv_cubic")
    assert chosen() == trained
    assert chosen("--protocol", "port") == fitting


def test_a_shipped_network_is_taken_by_its_name_whatever_the_lr(out, shipped, chosen, save_nearest):
    plain = save_nearest(shipped / "elsr_x4.safetensors")
    aliased = save_nearest(shipped / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    assert chosen("--model", "elsr-aliased") == chosen("--weights", "elsr-aliased") == aliased
    assert chosen("--weights", "elsr", "--protocol", "port") == plain  # as was asked for
    with pytest.raises(InputError, match="no weights of elsr-aliased x2 .* some at x4"):
        chosen("--model", "elsr-aliased", "--scale", 2)


def test_a_file_given_is_taken_if_its_scale_is_the_one_asked_for(tmp_path, chosen, save_nearest):
    path = save_nearest(tmp_path / "mine.safetensors", scale=2)
    assert chosen("--weights", path) == chosen("--weights", path, "--scale", 2) == path
    with pytest.raises(InputError, match="expected weights for x4 but .*mine.* holds x2"):
        chosen("--weights", path, "--scale", 4)


@pytest.mark.parametrize(("given", "message"), [
    (("--weights", "elsr", "--model", "elsr"), "--weights or --model but got both"),
    (("--model", "elsr-9"), "expected a model of .*elsr-y, .*espcn.* but got 'elsr-9'"),
    ((), r"no weights of elsr x4 .*train\.py --stage 1\.\.5 --model elsr"),
    (("--scale", 0), "scale of at least 1 but got 0"),
])  # fmt: skip
def test_what_cannot_be_chosen_is_refused_in_one_line(chosen, given, message):
    with pytest.raises(InputError, match=message):
        chosen(*given)


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_last_bit, cut])
def test_a_damaged_stage_is_named_and_the_next_best_is_taken(
    out, chosen, save_nearest, capsys, damage
):
    save_nearest(out / "stage4/best.safetensors")
    damage(save_nearest(out / "stage5/best.safetensors"))
    assert chosen() == out / "stage4/best.safetensors"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "stage5" in line and "damaged" in line


@pytest.mark.parametrize("damage", [flip_last_bit, cut])
def test_a_damaged_file_that_was_asked_for_is_refused(tmp_path, chosen, save_nearest, damage):
    path = save_nearest(tmp_path / "mine.safetensors")
    damage(path)
    with pytest.raises(InputError, match=r"mine\.safetensors is damaged"):
        chosen("--weights", path)


def test_every_kind_of_network_there_is_takes_part_in_a_comparison(
    out, shipped, save_nearest, save
):
    trained = save_nearest(out / "stage4/best.safetensors")
    luma = save(shipped / "elsr-y_x4.safetensors", "elsr-y", scale=4)
    save_nearest(shipped / "elsr_x2.safetensors", scale=2)
    assert [found.path for found in choose_every_kind(flags(), out)] == [trained, luma]
    assert len(choose_every_kind(flags("--scale", 2), out)) == 1
    with pytest.raises(InputError, match="no weights of elsr x3"):
        choose_every_kind(flags("--scale", 3), out)
