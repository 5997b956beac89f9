"""Which network enlarges: by its name, by a quality, and for a film by how fast it is here."""

import json
import logging
import re
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from video_files import decode, frame_times, moving_photo, write_video

from elsr_paddle.commands.enlarge import main
from elsr_paddle.engines.choose import load_engine
from elsr_paddle.engines.engine import Engine
from elsr_paddle.enlarge.face import upscale
from elsr_paddle.enlarge.quality import (
    Trial,
    choose_for_film,
    largest_in_time,
    network_of_parts,
    told,
)
from elsr_paddle.errors import InputError
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import save_tensors
from elsr_paddle.networks.zoo import Entry
from elsr_paddle.video.encoder import VideoOptions

PHOTO = np.ascontiguousarray(astronaut()[40:88, 190:254])  # 64x48
LINE = re.compile(r"elsr-[ym]: \d+ frames/s here, the film needs 25")
FAST = ["--engine", "numpy", "--scale", "2"]  # whose kernels need not be compiled


def entry(name, scale=4, stage=0):
    return Entry(Path(f"{name}_x{scale}.safetensors"), name, scale, "bicubic", stage)


ALL = [entry(name, scale) for name in ("elsr", "elsr-l", "elsr-m", "elsr-y") for scale in (2, 4)]


def names(files):
    return {scale: path.stem.rpartition("_x")[0] for scale, path in files.items()}


@pytest.fixture
def shipped(tmp_path, monkeypatch, trained):
    """A folder of tiny networks of x2 that stands for what ships: elsr-y and elsr-m."""
    for name in ("elsr-y", "elsr-m"):
        made = trained(name, scale=2, width=1, depth=1)
        save_tensors(tmp_path / "shipped" / f"{name}_x2.safetensors", made.graph.arrays,
                     {"model": name, "config": made.network.config})
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shipped"


@pytest.mark.parametrize("quality, network", [("fast", "elsr-y"), ("balanced", "elsr-m"),
                                              ("best", "elsr-l")])
def test_a_quality_names_a_network_of_the_ladder_at_every_scale(quality, network):
    assert names(zoo.of_quality(ALL, quality)) == {2: network, 4: network}


@pytest.mark.parametrize("there, quality, network", [
    (["elsr-y", "elsr-m"], "best", "elsr-m"), (["elsr-y"], "best", "elsr-y"),
    (["elsr-y", "elsr-l"], "balanced", "elsr-y"), (["elsr-m", "elsr-l"], "fast", "elsr-m"),
])
def test_a_network_that_does_not_ship_is_replaced_by_the_next_below_else_above(there, quality,
                                                                               network):
    assert names(zoo.of_quality(map(entry, there), quality)) == {4: network}


def test_each_scale_has_the_best_that_ships_at_it():
    there = [entry("elsr-y", 2), entry("elsr-y", 4), entry("elsr-l", 4)]
    assert names(zoo.of_quality(there, "best")) == {2: "elsr-y", 4: "elsr-l"}


def test_what_was_trained_here_and_what_is_not_on_the_ladder_has_no_quality():
    assert zoo.of_quality([entry("elsr-l", stage=4), entry("elsr")], "best") == {}
    assert zoo.of_qualities([entry("elsr")]) == {}


def test_an_unknown_quality_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="a quality of fast, balanced, best but got 'good'"):
        zoo.of_quality(ALL, "good")


@pytest.mark.parametrize("speeds, needed, chosen", [
    ((31, 90, 200), 30, "l"), ((30, 90, 200), 30, "l"), ((29, 90, 200), 30, "m"),
    ((9, 29.9, 200), 30, "y"), ((1, 2, 3), 30, "y"), ((9, 61), 25, "m"), ((5,), 25, "l"),
])
def test_the_largest_network_that_keeps_up_is_taken_else_the_smallest(speeds, needed, chosen):
    trials = [Trial(name, speed) for name, speed in zip("lmy", speeds)]
    assert largest_in_time(iter(trials), needed)[-1].network == chosen


def test_no_network_is_tried_after_one_that_keeps_up():
    trials = iter([Trial("l", 10), Trial("m", 30), Trial("y", 90)])
    largest_in_time(trials, 25)
    assert next(trials).network == "y"


def test_the_line_names_the_choice_its_speed_and_what_was_too_slow():
    taken = [Trial("elsr-l", 14.2), Trial("elsr-m", 61.4)]
    assert told(taken, 25) == ("elsr-m: 61 frames/s here, the film needs 25 "
                               "(too slow: elsr-l 14)")
    assert told(taken, 60.9) == "elsr-m: 61 frames/s here, the film needs 61 (too slow: elsr-l 14)"
    assert "needs 100; no network keeps up, so the fastest is taken" in told(taken, 100)


def test_a_film_is_made_by_a_measured_choice_which_a_name_repeats(shipped, capsys):
    write_video("a.mp4")
    assert main(["a.mp4", "-o", "out.mp4", *FAST]) == 0
    said = capsys.readouterr().err
    assert len(LINE.findall(said)) == 1
    name = re.search("chosen: --model (elsr-[ym])$", said, re.M)[1]
    assert LINE.search(said)[0].startswith(name)
    assert frame_times("out.mp4") == frame_times("a.mp4")
    assert decode("out.mp4")[0].shape == (96, 128, 3)
    assert main(["a.mp4", "-o", "again.mp4", *FAST, "--model", name]) == 0
    assert not LINE.search(capsys.readouterr().err)
    np.testing.assert_array_equal(decode("again.mp4"), decode("out.mp4"))


def test_the_report_for_scripts_tells_the_choice(shipped, capsys):
    write_video("a.mp4")
    assert main(["a.mp4", "-o", "out.mkv", *FAST, "--json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["network"] in ("elsr-y", "elsr-m")


def test_a_film_of_a_quality_is_not_measured(shipped, capsys):
    write_video("a.mp4", rate=1000)
    assert main(["a.mp4", "-o", "out.mp4", *FAST, "--quality", "best"]) == 0
    said = capsys.readouterr().err
    assert "elsr-m_x2" in said and "elsr-y_x2" not in said and "frames/s here" not in said


def test_a_picture_takes_the_best_network_that_ships(shipped, capsys):
    Image.fromarray(PHOTO).save("a.png")
    assert main(["a.png", "-o", "out.png", *FAST]) == 0
    said = capsys.readouterr().err
    assert "elsr-m_x2" in said and "elsr-y_x2" not in said
    assert main(["a.png", "-o", "fast.png", *FAST, "--quality", "fast"]) == 0
    assert "elsr-y_x2" in capsys.readouterr().err


@pytest.mark.parametrize("given", [("--quality", "--model"), ("--quality", "--weights"),
                                   ("--model", "--weights")])
def test_two_names_of_a_network_are_refused(tmp_path, given):
    first, second = given
    arguments = [first, "best", second, "elsr-y"]
    with pytest.raises(InputError, match=f"{first} and {second} each name a network"):
        main([str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), *arguments])


def test_a_run_that_is_continued_keeps_its_network(shipped, capsys):
    write_video("a.mp4")
    for name in ("elsr-y", "elsr-m"):
        Path(f"{name}.mp4.parts").mkdir()
        manifest = {"network": {"model": name, "scale": 2}}
        Path(f"{name}.mp4.parts/manifest.json").write_text(json.dumps(manifest))
        assert main(["a.mp4", "-o", f"{name}.mp4", *FAST]) == 0
        said = capsys.readouterr().err
        assert f"{name}, as in the run that is continued" in said
        assert f"chosen: --model {name}" in said and not LINE.search(said)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"network": null}'])
def test_a_damaged_manifest_names_no_network(tmp_path, content):
    (tmp_path / "out.mp4.parts").mkdir()
    (tmp_path / "out.mp4.parts/manifest.json").write_text(content)
    assert network_of_parts(tmp_path / "out.mp4") is None
    assert network_of_parts(tmp_path / "none.mp4") is None


@pytest.mark.parametrize("source, output", [("-", "out.mp4"), ("a.mp4", "-")])
def test_frames_from_and_to_a_pipe_take_the_fastest_network(shipped, source, output):
    write_video("a.mp4")
    said, upscalers = [], {"fast": "the fast one", "best": "the best one"}
    found = choose_for_film(source, output, upscalers, VideoOptions(), said.append)
    assert found == ("the fast one", "") and not said


@pytest.mark.parametrize("name", ["elsr-y", "elsr-m"])
def test_a_run_that_was_stopped_goes_on_with_its_network(shipped, monkeypatch, capsys, name):
    write_video("a.mp4", moving_photo(100))
    upscale_plane, planes = Engine.upscale_plane, count()

    def until_the_disk_is_full(engine, plane):
        if next(planes) >= 60:
            raise OSError("disk full")
        return upscale_plane(engine, plane)

    segments = [*FAST, "--segment", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "upscale_plane", until_the_disk_is_full)
        assert main(["a.mp4", "-o", "out.mp4", *segments, "--model", name]) == 2
    assert network_of_parts("out.mp4") == name
    capsys.readouterr()
    assert main(["a.mp4", "-o", "out.mp4", *segments]) == 0
    said = capsys.readouterr().err
    assert f"{name}, as in the run that is continued" in said and not LINE.search(said)
    assert "of 4 segments were there" in said
    assert network_of_parts("out.mp4") is None


def test_a_film_that_gets_no_larger_needs_no_choice(shipped, capsys):
    write_video("a.mp4")
    assert main(["a.mp4", "-o", "out.mp4", "--engine", "numpy", "--scale", "1"]) == 0
    assert "frames/s here" not in capsys.readouterr().err


def test_a_film_that_ends_before_it_says_is_tried_from_its_beginning(shipped, capsys):
    write_video("a.mkv", moving_photo(100), options={"crf": "4", "g": "5"})
    whole = Path("a.mkv").read_bytes()
    Path("cut.mkv").write_bytes(whole[:len(whole) // 4])
    assert main(["cut.mkv", "-o", "out.mp4", *FAST]) == 1  # parts are missing
    assert LINE.search(capsys.readouterr().err)


def test_an_encoder_that_does_not_start_is_told_as_ever(shipped, capsys):
    write_video("a.mp4")
    assert main(["a.mp4", "-o", "out.mp4", *FAST, "--preset", "none-such"]) == 2
    assert "cannot start libx264" in capsys.readouterr().err


def test_in_python_a_picture_takes_the_best_and_a_quality_another(shipped):
    best = upscale(PHOTO, engine="numpy")
    np.testing.assert_array_equal(best, upscale(PHOTO, model="elsr-m", engine="numpy"))
    np.testing.assert_array_equal(best, upscale(PHOTO, quality="best", engine="numpy"))
    fast = upscale(PHOTO, quality="fast", engine="numpy")
    np.testing.assert_array_equal(fast, upscale(PHOTO, model="elsr-y", engine="numpy"))
    with pytest.raises(InputError, match="a model or a quality but got both"):
        upscale(PHOTO, model="elsr-m", quality="best")


def test_in_python_a_film_logs_its_choice(shipped, caplog):
    write_video("a.mp4")
    with caplog.at_level(logging.INFO, "elsr_paddle"):
        upscale("a.mp4", "out.mp4", scale=2, engine="numpy")
    assert len(LINE.findall(caplog.text)) == 1


def test_an_engine_is_loaded_by_a_quality(shipped):
    engine = load_engine(quality="best", scale=2, engine="numpy")
    assert (engine.model_name, engine.scale) == ("elsr-m", 2)
    with pytest.raises(InputError, match="a scale of 2 for the quality best but got 4"):
        load_engine(quality="best")
    for both in ({}, {"model_or_path": "elsr-y", "quality": "best"}):
        with pytest.raises(InputError, match="either a network or a quality"):
            load_engine(**both)
