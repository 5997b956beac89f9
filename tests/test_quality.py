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
                      "--weights", weights, "--engine", "numpy", "--json", tmp_path / "all.json",
                      "--plots", tmp_path / "plots")  # fmt: skip
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
