"""test.py and test_video.py as a person runs them: by path, in a folder of their own."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from elsr_paddle.checkpoint import save_tensors
from PIL import Image
from skimage.data import coffee

from elsr_paddle.commands import shared as cli
from elsr_paddle.data import demo
from elsr_paddle.engines import loading
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import PROTOCOLS, score
from elsr_paddle.imaging.degrade import make_pair
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.resize import imresize


@pytest.fixture
def run(root, tmp_path, run_python):
    """Runs a script in the test's own folder: run("test.py", *arguments)."""
    return lambda script, *arguments: run_python(root / script, *arguments, cwd=tmp_path)


def nearest(image, scale=4):
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def photo(top=0, height=60, width=83):
    return np.ascontiguousarray(coffee()[top : top + height, 100 : 100 + width])


def frames():
    """Five frames of a pan, uint8 (60, 83, 3)."""
    return [photo(top) for top in range(0, 50, 10)]


def gif_frames(path):
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            yield np.array(gif.convert("RGB"))


def distance(first, second):
    return np.abs(first.astype(float) - second).mean()


def test_stills_of_every_kind_are_scored_and_unreadable_ones_skipped(tmp_path, save_nearest, run):
    weights, folder = save_nearest(tmp_path / "w.safetensors"), tmp_path / "in"
    write_image(folder / "colour.png", photo())
    picture = Image.fromarray(photo(100))
    picture.convert("L").save(folder / "gray.png")
    picture.quantize(32).save(folder / "palette.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "cut.png").write_bytes((folder / "colour.png").read_bytes()[:900])
    done = run("test.py", folder, "none.png", "--weights", weights)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    summary = done.stderr.split("2 skipped:")[1]
    assert "cut.png" in summary and "none.png" in summary

    found = json.loads((tmp_path / "out/test.json").read_text())
    names = [item["name"] for item in found["items"]]
    assert names == ["cmyk.jpg", "colour.png", "gray.png", "palette.png"]
    assert len(found["skipped"]) == 2
    lr, hr = make_pair(photo(), 4)
    expected = score(hr, nearest(lr), PROTOCOLS["y"], scale=4)
    assert found["items"][1]["elsr"]["psnr_db"] == expected.psnr_db
    assert found["items"][1]["elsr"]["ssim"] == expected.ssim
    expected = score(hr, imresize(lr, size=hr.shape[:2]), PROTOCOLS["y"], scale=4)
    assert found["items"][1]["bicubic"]["psnr_db"] == expected.psnr_db
    for method in ("bicubic", "elsr"):
        assert f"{found['mean'][method]['psnr_db']:.2f}" in done.stdout
    assert "w.safetensors" in done.stdout
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {"architecture.png", "cmyk.jpg.png", "colour.png", "gray.png", "palette.png"}


def test_benchmarks_give_one_table_with_published_figures(tmp_path, save_nearest, run):
    weights, sets = save_nearest(tmp_path / "w.safetensors"), tmp_path / "sets"
    for name in ("Set5", "Mine"):
        write_image(sets / name / "HR/a.png", photo())
    write_image(sets / "Mine/LR_bicubic/X4/ax4.png", np.zeros((15, 20, 3), np.uint8))
    done = run("test.py", "--benchmarks", sets, "--weights", weights,
               "--figures", "0", "--json", "scores.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "scores.json").read_text())["sets"]
    assert set(found) == {"Set5", "Mine"}
    assert all(set(figures) == {"mean", "items"} for figures in found.values())
    assert found["Mine"]["mean"]["bicubic"]["psnr_db"] < 15  # the given LR file is black
    assert "32.09" in done.stdout and "arXiv 1707.02921" in done.stdout
    assert f"{found['Set5']['mean']['elsr']['psnr_db']:.2f}" in done.stdout


def test_a_clip_gives_scores_per_frame_gifs_of_their_own_frames_and_counted_speed(
    tmp_path, save_nearest, run
):
    weights, clip = save_nearest(tmp_path / "w.safetensors"), tmp_path / "clip"
    for number, frame in enumerate(frames()):
        write_image(clip / f"f{8 + number}.png", frame)  # f8, f9, f10: not in the order of letters
    (clip / "f10.png").write_bytes(b"broken")
    done = run("test_video.py", clip, "--weights", weights, "--fps", "10")
    assert done.returncode == 2 and "f10.png" in done.stderr

    pairs = [make_pair(frame, 4) for frame in (frames()[i] for i in (0, 1, 3, 4))]
    with (tmp_path / "out/frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["0", "1", "3", "4"]
    for row, (lr, hr) in zip(rows, pairs):
        expected = score(hr, nearest(lr), PROTOCOLS["y"], scale=4)
        assert float(row["elsr_psnr_db"]) == expected.psnr_db

    bicubic = list(gif_frames(tmp_path / "out/bicubic_video.gif"))
    network = list(gif_frames(tmp_path / "out/sr_video.gif"))
    assert len(bicubic) == len(network) == 4
    for bicubic_frame, sr_frame, (lr, hr) in zip(bicubic, network, pairs):
        smooth, blocks = imresize(lr, size=hr.shape[:2]), nearest(lr)
        assert distance(bicubic_frame, smooth) < distance(bicubic_frame, blocks)
        assert distance(sr_frame, blocks) < distance(sr_frame, smooth)
        # The palette maps equal pixels to equal ones: this network's blocks stay blocks.
        assert np.array_equal(sr_frame, nearest(sr_frame[::4, ::4]))
        assert not np.array_equal(bicubic_frame, nearest(bicubic_frame[::4, ::4]))
    assert len(list(gif_frames(tmp_path / "out/side_by_side.gif"))) == 4

    found = json.loads((tmp_path / "out/test_video.json").read_text())
    assert set(found["mean"]) == {"bicubic", "elsr"} and len(found["items"]) == 4
    for name in ("network", "image_to_image", "file_to_file"):
        speed = found["speed"][name]
        assert speed["frames"] == 4 and speed["fps"] == pytest.approx(1 / speed["median_seconds"])
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {"architecture.png", "psnr_frames.png"}


@pytest.mark.parametrize("script", ["test.py", "test_video.py"])
def test_a_bare_call_takes_the_newest_stage_and_the_demo_set(tmp_path, script, save_nearest, run):
    make_small_demo(tmp_path / "data/demo")
    save_nearest(tmp_path / "out/stage1/best.safetensors", scale=2)
    save_nearest(tmp_path / "out/stage4/best.safetensors")
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert "out/stage4/best.safetensors" in done.stdout.replace("\\", "/")
    name = Path(script).with_suffix(".json").name
    assert len(json.loads((tmp_path / "out" / name).read_text())["items"]) == (
        2 if script == "test.py" else 9
    )


def make_small_demo(folder):
    """What `demo.ensure` takes for a whole demo set; its clips have one tile of nine frames."""
    for split, clips in demo.SPLITS.items():
        for clip in clips:
            for number in range(9 if split == "val" else 1):
                write_image(folder / split / clip.photo / f"{number:08d}.png", photo(number))
    for name in demo.PAIR_FILES:
        (folder / name).touch()


@pytest.mark.parametrize("script", ["test.py", "test_video.py"])
def test_a_missing_input_is_one_line_and_status_2(tmp_path, script, save_nearest, run):
    weights = save_nearest(tmp_path / "w.safetensors")
    done = run(script, "none", "--weights", weights)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no such file: none" in done.stderr


@pytest.mark.parametrize("script", ["test.py", "test_video.py"])
def test_help_comes_without_the_framework(root, script, run_python):
    code = (f"import runpy, sys; sys.argv = [{script!r}, '--help']\n"
            f"try: runpy.run_path({str(root / script)!r}, run_name='__main__')\n"
            "finally: assert 'paddle' not in sys.modules")  # fmt: skip
    done = run_python("-c", code)
    assert done.returncode == 0 and "--protocol" in done.stdout, done.stderr


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "OUT", tmp_path)
    return tmp_path


def test_the_newest_stage_of_the_scale_wanted_is_the_default(out, save_nearest):
    for stage, scale in ((1, 2), (2, 4), (3, 4)):
        save_nearest(out / f"stage{stage}/best.safetensors", scale)
    assert cli.default_weights("elsr", 4) == out / "stage3/best.safetensors"
    assert cli.default_weights("elsr", 2) == out / "stage1/best.safetensors"
    assert cli.choose_weights(None, None) == out / "stage3/best.safetensors"
    assert cli.choose_weights(out / "mine.safetensors", 4) == out / "mine.safetensors"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in the place of the networks that ship with the package."""
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path / "shipped")
    return tmp_path / "shipped"


def test_without_any_weights_the_command_that_makes_them_is_named(out, shipped):
    with pytest.raises(InputError, match=r"train.py --stage 1..5"):
        cli.default_weights("elsr", 3)


def test_a_damaged_stage_is_not_passed_over_in_silence(out, save_nearest):
    path = save_nearest(out / "stage5/best.safetensors")
    save_nearest(out / "stage4/best.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="stage5"):
        cli.default_weights("elsr", 4)


def test_a_network_that_is_named_is_the_shipped_one_or_else_the_one_trained_here(
        out, shipped, save_nearest):
    trained = save_nearest(out / "stage4/best.safetensors")
    assert cli.choose_weights(model="elsr", scale=4) == trained
    save_nearest(shipped / "elsr_x4.safetensors")
    assert cli.choose_weights(model="elsr", scale=4) == shipped / "elsr_x4.safetensors"
    assert cli.choose_weights() == trained
    with pytest.raises(InputError, match="--weights or --model"):
        cli.choose_weights("elsr", 4, "elsr")
    with pytest.raises(InputError, match="no weights of elsr-y x4"):
        cli.choose_weights(model="elsr-y")


def test_the_shipped_network_made_for_the_lr_that_is_tested_is_taken(out, shipped, save_nearest):
    plain, plain_x2 = (save_nearest(shipped / f"elsr_x{scale}.safetensors", scale)
                       for scale in (4, 2))
    aliased = save_nearest(shipped / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    for model in (None, "elsr"):
        assert cli.choose_weights(model=model) == plain
        assert cli.choose_weights(model=model, degradation="opencv_cubic") == aliased
        assert cli.choose_weights(model=model, degradation="blur_noise") == plain  # nothing fits
        assert cli.choose_weights(scale=2, model=model, degradation="opencv_cubic") == plain_x2
    assert cli.choose_weights("elsr", degradation="opencv_cubic") == plain  # as was asked for
    assert cli.choose_weights("elsr-aliased") == aliased
    assert cli.all_weights(degradation="opencv_cubic") == [aliased]
    with pytest.raises(InputError, match="elsr-aliased at x2"):
        cli.choose_weights("elsr-aliased", 2)


def test_what_was_trained_here_comes_first_where_it_was_trained_on_such_lr(
        out, shipped, save_nearest):
    trained = save_nearest(out / "stage4/best.safetensors")
    save_nearest(shipped / "elsr_x4.safetensors")
    aliased = save_nearest(shipped / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    assert cli.choose_weights(degradation="bicubic") == trained
    assert cli.choose_weights(degradation="opencv_cubic") == aliased
    assert cli.choose_weights(degradation="blur_noise") == trained  # nothing fits
    fitting = save_nearest(out / "stage3/best.safetensors", degradation="opencv_cubic")
    assert cli.choose_weights(degradation="bicubic") == trained
    assert cli.choose_weights(degradation="opencv_cubic") == fitting


@pytest.mark.parametrize("protocol, name", [("y", "{}_x4"), ("rgb", "{}_x4"),
                                            ("port", "{}-aliased_x4")])
@pytest.mark.parametrize("script, models", [("test.py", ["elsr", "elsr-y"]),
                                            ("test_video.py", ["elsr"])])
def test_each_protocol_takes_the_networks_for_its_lr_and_says_so(
        root, out, shipped, tmp_path, network, capsys, script, models, protocol, name):
    for model in ("elsr", "elsr-y"):
        weights, metadata = network(model, scale=4)
        save_tensors(shipped / f"{model}_x4.safetensors", weights, metadata)
        metadata = {**metadata, "degradation": "opencv_cubic"}
        save_tensors(shipped / f"{model}-aliased_x4.safetensors", weights, metadata)
    write_image(tmp_path / "sets/Mine/HR/a.png", photo())
    given = {"test.py": ["--benchmarks", tmp_path / "sets"],
             "test_video.py": [tmp_path / "sets/Mine/HR", "--out", tmp_path / "gifs"]}[script]
    arguments = [*given, "--protocol", protocol, "--plots", tmp_path / "plots",
                 "--json", tmp_path / "test.json"]  # fmt: skip
    assert runpy.run_path(str(root / script))["main"](list(map(str, arguments))) == 0
    printed = capsys.readouterr().out
    told = [line for line in printed.splitlines() if line.startswith("weights")]
    degradation = PROTOCOLS[protocol].degradation
    assert len(told) == len(models)
    for line, model in zip(told, models):
        file = shipped / f"{name.format(model)}.safetensors"
        assert line.startswith(f"weights {file} ({model} x4) for {degradation} LR")


def test_every_kind_of_network_there_is_takes_part_in_the_comparison(out, shipped, save_nearest,
                                                                     network):
    trained = save_nearest(out / "stage4/best.safetensors")
    assert cli.all_weights() == [trained]
    save_tensors(shipped / "elsr-y_x4.safetensors", *network("elsr-y", scale=4))
    assert cli.all_weights() == [trained, shipped / "elsr-y_x4.safetensors"]
    with pytest.raises(InputError, match="no weights of elsr x2"):
        cli.all_weights(2)


def test_the_comparison_has_a_row_for_each_network_and_says_what_it_used(
        root, out, shipped, tmp_path, save_nearest, network):
    save_nearest(shipped / "elsr_x4.safetensors")
    save_tensors(shipped / "elsr-y_x4.safetensors", *network("elsr-y", scale=4))
    write_image(tmp_path / "sets/Mine/HR/a.png", photo())
    test = runpy.run_path(str(root / "test.py"))
    arguments = ["--benchmarks", tmp_path / "sets", "--plots", tmp_path / "plots",
                 "--json", tmp_path / "test.json"]  # fmt: skip
    assert test["main"](list(map(str, arguments))) == 0
    found = json.loads((tmp_path / "test.json").read_text())
    assert set(found["sets"]["Mine"]["mean"]) == {"bicubic", "elsr", "elsr-y"}
    assert set(found["weights"]) == {"elsr", "elsr-y"}
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {"architecture.png", "architecture_elsr-y.png", "Mine_a.png"}


@pytest.mark.parametrize("script", ["test.py", "test_video.py"])
def test_a_network_on_luma_is_tested_as_one_on_rgb(tmp_path, network, run, script):
    weights, metadata = network("elsr-y", scale=2)
    save_tensors(tmp_path / "y.safetensors", weights, metadata)
    for number, frame in enumerate(frames()[:2]):
        write_image(tmp_path / "clip" / f"{number}.png", frame)
    done = run(script, tmp_path / "clip", "--weights", tmp_path / "y.safetensors")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / script.replace(".py", ".json")).read_text())
    assert set(found["mean"]) == {"bicubic", "elsr-y"} and len(found["items"]) == 2
