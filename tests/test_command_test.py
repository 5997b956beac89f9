"""`test.py` as a person runs it, and the function behind it: stills, benchmark sets, networks."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.data import coffee

from elsr_paddle.commands import test as command
from elsr_paddle.data import demo
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import PROTOCOLS, score
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import save_tensors


@pytest.fixture
def run(root, tmp_path, run_python):
    """Runs the script in the test's own folder, on the engine that starts at once: run("a.png")."""
    return lambda *arguments: run_python(root / "test.py", "--engine", "numpy", *arguments,
                                         cwd=tmp_path)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test's own folder, and the one that this process works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return command.main(["--engine", "numpy", *map(str, arguments)])


def nearest(image, scale=4):
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def photo(top=0, height=60, width=83):
    return np.ascontiguousarray(coffee()[top : top + height, 100 : 100 + width])


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures of every kind, and of one that is cut short."""
    folder = tmp_path / "in"
    write_image(folder / "colour.png", photo())
    picture = Image.fromarray(photo(100))
    picture.convert("L").save(folder / "gray.png")
    picture.quantize(32).save(folder / "palette.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "cut.png").write_bytes((folder / "colour.png").read_bytes()[:900])
    return folder


def test_stills_of_every_kind_are_scored_and_unreadable_ones_skipped(
    tmp_path, pictures, save_nearest, run
):
    weights = save_nearest(tmp_path / "w.safetensors")
    done = run(pictures, "none.png", "--weights", weights)
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
    assert names_in(tmp_path / "plots") == {"architecture.png", "cmyk.jpg.png", "colour.png",
                                            "gray.png", "palette.png"}  # fmt: skip


def test_the_weights_the_engine_and_the_device_that_computes_are_told(
    here, pictures, save_nearest, capsys
):
    weights = save_nearest(here / "w.safetensors")
    assert call(pictures / "colour.png", "--weights", weights) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"weights {weights} (elsr x4) for bicubic LR, engine numpy on cpu, protocol y")
    found = json.loads((here / "out/test.json").read_text())
    about = {name: found[name] for name in ("scale", "protocol", "degradation", "engine", "device")}
    assert about == {"scale": 4, "protocol": "y", "degradation": "bicubic", "engine": "numpy",
                     "device": "cpu"}  # fmt: skip
    assert found["weights"] == {"elsr": str(weights)}


def test_a_device_that_is_not_there_is_refused(here, pictures, save_nearest):
    weights = save_nearest(here / "w.safetensors")
    with pytest.raises(InputError, match="gpu:7"):
        call(pictures, "--weights", weights, "--device", "gpu:7")


def test_paddle_computes_figures_without_tf32(here, pictures, save_nearest, monkeypatch):
    from elsr_paddle import framework

    allowed = []
    monkeypatch.setattr(framework, "use_tf32", allowed.append)
    weights = save_nearest(here / "w.safetensors")
    for engine in ("numpy", "eager"):
        call(pictures / "colour.png", "--weights", weights, "--engine", engine)
    assert allowed == [False]


def test_another_engine_than_paddles_needs_no_paddle(tmp_path, root, save_nearest, run_python):
    weights = save_nearest(tmp_path / "w.safetensors")
    write_image(tmp_path / "a.png", photo())
    arguments = ["test.py", "a.png", "--weights", str(weights), "--engine", "numpy"]
    done = run_python("-c", "import runpy, sys; sys.modules['paddle'] = None\n"
                      f"sys.path.insert(0, {str(root)!r}); sys.argv = {arguments}\n"
                      f"runpy.run_path({str(root / 'test.py')!r}, run_name='__main__')",
                      cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_benchmarks_give_one_table_with_published_figures(here, save_nearest, capsys):
    weights, sets = save_nearest(here / "w.safetensors"), here / "sets"
    for name in ("Set5", "Mine"):
        write_image(sets / name / "HR/a.png", photo())
    write_image(sets / "Mine/LR_bicubic/X4/ax4.png", np.zeros((15, 20, 3), np.uint8))
    assert call("--benchmarks", sets, "--weights", weights, "--figures", "0",
                "--json", "scores.json") == 0  # fmt: skip
    found = json.loads((here / "scores.json").read_text())["sets"]
    assert set(found) == {"Set5", "Mine"}
    assert all(set(figures) == {"mean", "items"} for figures in found.values())
    assert found["Mine"]["mean"]["bicubic"]["psnr_db"] < 15  # the given LR file is black
    printed = capsys.readouterr().out
    assert "32.09" in printed and "arXiv 1707.02921" in printed
    assert f"{found['Set5']['mean']['elsr']['psnr_db']:.2f}" in printed


@pytest.fixture
def shipped(here, monkeypatch, trained):
    """A folder in the place of the networks that ship: elsr and elsr-y, for both kinds of LR."""
    monkeypatch.setattr(zoo, "SHIPPED", here / "shipped")
    for model in ("elsr", "elsr-y"):
        made = trained(model, scale=4)
        for suffix, degradation in (("", "bicubic"), ("-aliased", "opencv_cubic")):
            save_tensors(here / f"shipped/{model}{suffix}_x4.safetensors", made.graph.arrays,
                         {**made.metadata, "degradation": degradation})
    return here / "shipped"


@pytest.mark.parametrize("protocol, name", [("y", "{}_x4"), ("rgb", "{}_x4"),
                                            ("port", "{}-aliased_x4")])
def test_benchmarks_compare_every_kind_of_network_for_the_lr_of_the_protocol(
    shipped, here, capsys, protocol, name
):
    write_image(here / "sets/Mine/HR/a.png", photo())
    assert call("--benchmarks", "sets", "--protocol", protocol) == 0
    found = json.loads((here / "out/test.json").read_text())
    assert set(found["sets"]["Mine"]["mean"]) == {"bicubic", "elsr", "elsr-y"}
    assert names_in(here / "plots") == {"architecture.png", "architecture_elsr-y.png",
                                        "Mine_a.png"}  # fmt: skip
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("weights")]
    for line, model in zip(told, ("elsr", "elsr-y")):
        file = shipped / f"{name.format(model)}.safetensors"
        degradation = PROTOCOLS[protocol].degradation
        assert line.startswith(f"weights {file} ({model} x4) for {degradation} LR")
        assert found["weights"][model] == str(file)


def test_a_bare_call_takes_the_highest_stage_and_the_demo_set(here, save_nearest, capsys):
    make_small_demo(here / "data/demo")
    save_nearest(here / "out/stage1/best.safetensors", scale=2)
    save_nearest(here / "out/stage4/best.safetensors")
    assert command.main([]) == 0
    printed = capsys.readouterr().out.replace("\\", "/")
    assert "out/stage4/best.safetensors" in printed and "engine eager" in printed
    assert len(json.loads((here / "out/test.json").read_text())["items"]) == 2


def make_small_demo(folder):
    """What `demo.ensure` takes for a whole demo set; its clips have one tile of nine frames."""
    for split, clips in demo.SPLITS.items():
        for clip in clips:
            for number in range(9 if split == "val" else 1):
                write_image(folder / split / clip.photo / f"{number:08d}.png", photo(number))
    for name in demo.PAIR_FILES:
        (folder / name).touch()


def test_a_missing_input_is_one_line_and_status_2(tmp_path, save_nearest, run):
    weights = save_nearest(tmp_path / "w.safetensors")
    done = run("none", "--weights", weights)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no such file: none" in done.stderr


def test_a_network_on_luma_is_tested_as_one_on_rgb(here, trained):
    made = trained("elsr-y", scale=2)
    save_tensors(here / "y.safetensors", made.graph.arrays, made.metadata)
    for number in range(2):
        write_image(here / "in" / f"{number}.png", photo(number))
    assert call("in", "--weights", "y.safetensors") == 0
    found = json.loads((here / "out/test.json").read_text())
    assert set(found["mean"]) == {"bicubic", "elsr-y"} and len(found["items"]) == 2
