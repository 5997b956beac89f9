"""benchmarks/quality.py as a person runs it, from end to end."""

import json

import numpy as np
import pytest
from skimage.data import coffee

from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks.weights import save_tensors

SCRIPT = ("import runpy, sys; sys.path.insert(0, 'benchmarks'); "
          "runpy.run_path('benchmarks/quality.py', run_name='__main__')")  # fmt: skip


@pytest.fixture
def weights(tmp_path, save_nearest, trained):
    """A folder of networks: nearest neighbour at x2 and x4, one of them for OpenCV's cubic, and a
    random elsr-y x4."""
    folder = tmp_path / "weights"
    for scale in (2, 4):
        save_nearest(folder / f"elsr_x{scale}.safetensors", scale)
    save_nearest(folder / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    made = trained("elsr-y", scale=4)
    save_tensors(folder / "elsr-y_x4.safetensors", made.graph.arrays, made.metadata)
    return folder


@pytest.fixture
def sets(tmp_path):
    """A folder with a set of two pictures, called as the one that costs are drawn for."""
    for top in (0, 100):
        photo = np.ascontiguousarray(coffee()[top : top + 60, 100:183])
        write_image(tmp_path / f"sets/Set14/HR/{top}.png", photo)
    return tmp_path / "sets"


@pytest.fixture
def clips(tmp_path):
    for number in range(5):
        write_image(tmp_path / f"clips/pan/{number}.png", coffee()[number : number + 60, 100:180])
    return tmp_path / "clips"


def test_the_script_gives_tables_figures_and_the_picture_of_costs(
    tmp_path, run_python, weights, sets, clips
):
    done = run_python("-c", SCRIPT, "--benchmarks", sets, "--clips", clips,
                      "--weights", weights, "--engine", "numpy", "--rounds", "0", "--json",
                      tmp_path / "all.json", "--plots", tmp_path / "plots")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "all.json").read_text())
    assert [network["file"] for network in found["networks"]] == [
        "elsr_x2.safetensors", "elsr_x4.safetensors", "elsr-aliased_x4.safetensors",
        "elsr-y_x4.safetensors"]  # fmt: skip
    assert set(found["stills"]) == {"x2", "x4"}
    matlab = found["stills"]["x4"]["Set14"], found["clips"]["rgb"]["pan"]
    opencv = found["opencv_cubic"]["Set14"], found["clips"]["port"]["pan"]
    methods = {"bicubic", "elsr", "elsr-y"}
    assert all(set(figures["mean"]) == methods for figures in matlab)
    assert all(set(figures["mean"]) == {*methods, "elsr-aliased"} for figures in opencv)
    for figures in (*matlab, *opencv):
        for mean in figures["mean"].values():
            assert f"{mean['psnr_db']:.2f}" in done.stdout
    sections = done.stdout.split("### ")[1:]
    assert ["ELSR-ALIASED" in section for section in sections if section.startswith("Stills")] == [
        False, False, True]  # x2, x4, x4 of LR by OpenCV's cubic
    assert len(found["clips"]["rgb"]["pan"]["items"]) == 5
    assert len(found["clips"]["port"]["pan"]["items"]) == 2  # every 4th
    assert "ELSR: not above bicubic on 2 of 2 pictures" in done.stdout
    assert "psnr_cost.png" in {path.name for path in (tmp_path / "plots").iterdir()}


def test_the_times_alone_are_told_beside_the_db(tmp_path, run_python, weights, sets):
    pytest.importorskip("onnxruntime", reason="needs an engine that compiles nothing")
    done = run_python("-c", SCRIPT, "--benchmarks", sets, "--times", "--weights", weights,
                      "--engine", "onnxruntime", "--rounds", "1", "--json", tmp_path / "all.json",
                      "--plots", tmp_path / "plots")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "all.json").read_text())
    assert set(found["stills"]) == {"x4"} and not found["clips"]
    times = found["times"]
    assert {"elsr", "elsr-y", "ETDS-M", "ECBSR-M4C16"} <= times["networks"].keys()
    assert times["encoder"] > 0 < min(times["networks"].values())
    section = next(part for part in done.stdout.split("### ") if part.startswith("The time of"))
    assert f"{times['networks']['ETDS-M']:.2f}" in section
    assert "ELSR-ALIASED" not in section
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"psnr_cost.png",
                                                                      "psnr_ms.png"}


def test_families_stand_side_by_side_with_the_db_of_the_weights_given(
    tmp_path, run_python, trained, sets
):
    pytest.importorskip("onnxruntime", reason="needs an engine that compiles nothing")
    pytest.importorskip("paddle", reason="whose layers give the dB")
    made = trained("espcn", scale=3, activation="gelu")
    save_tensors(tmp_path / "espcn.safetensors", made.graph.arrays, made.metadata)
    done = run_python("-c", SCRIPT.replace("quality.py", "networks.py"), "--scale", "3",
                      "--benchmarks", sets, "--weights", tmp_path / "espcn.safetensors",
                      "--engines", "onnxruntime", "--slowest", "2.5", "--rounds", "1",
                      "--plot", tmp_path / "networks.png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
            for line in done.stdout.splitlines() if line.startswith("|")}
    assert rows["espcn, activation gelu"][0] == f"{made.graph.parameter_count:,}"
    assert float(rows["espcn, activation gelu"][2]) > 0  # dB on Set14
    assert rows["edsr-baseline"][2:] == ["-", "-"]  # no weights, and too slow to be timed here
    assert float(rows["fsrcnn"][3]) > 0  # frames/s
    assert (tmp_path / "networks.png").is_file()
