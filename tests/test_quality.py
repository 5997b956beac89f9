"""The evaluation of networks side by side: what it counts, and the script from end to end."""

import json

import numpy as np
import pytest
from elsr_paddle.checkpoint import save_tensors
from skimage.data import coffee

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation import shipped as quality
from elsr_paddle.evaluation.published import PUBLISHED
from elsr_paddle.imaging.io import write_image

SCRIPT = ("import runpy, sys; sys.path.insert(0, 'benchmarks'); "
          "runpy.run_path('benchmarks/quality.py', run_name='__main__')")  # fmt: skip


@pytest.fixture
def weights(tmp_path, save_nearest, network):
    """A folder of networks: nearest neighbour at x2 and x4, and an untrained elsr-y x4."""
    folder = tmp_path / "weights"
    for scale in (2, 4):
        save_nearest(folder / f"elsr_x{scale}.safetensors", scale)
    save_tensors(folder / "elsr-y_x4.safetensors", *network("elsr-y", scale=4))
    return folder


@pytest.fixture
def sets(tmp_path):
    """A folder with a set of two pictures, called as the one that costs are drawn for."""
    for top in (0, 100):
        photo = np.ascontiguousarray(coffee()[top : top + 60, 100:183])
        write_image(tmp_path / f"sets/Set14/HR/{top}.png", photo)
    return tmp_path / "sets"


def test_networks_are_evaluated_on_the_same_pictures_and_counted_below_bicubic(weights, sets):
    (sets / "Set14/HR/cut.png").write_bytes(b"broken")
    networks = quality.load_networks(weights, "eager")
    assert [(n.scale, n.name) for n in networks] == [(2, "elsr"), (4, "elsr"), (4, "elsr-y")]
    skipped = []
    results = quality.evaluate_sets(sets, networks[1:], on_error=skipped.append)
    assert len(skipped) == 1 and "cut.png" in str(skipped[0])  # told once, not for each network
    for item in results["Set14"]["items"]:
        assert {"bicubic", "elsr", "elsr-y"} <= set(item)
    below = quality.below_bicubic(results, "elsr")  # nearest neighbours lose to bicubic everywhere
    assert [(found["set"], found["name"]) for found in below] == [("Set14", "0.png"),
                                                                  ("Set14", "100.png")]
    assert all(found["network_db"] < found["bicubic_db"] for found in below)


def test_the_cost_of_a_network_is_that_of_the_paper(weights):
    _, elsr, elsr_y = quality.load_networks(weights, "eager")
    assert elsr.multiply_adds == 195_955_200  # 3,402 weights of kernels x 57,600 pixels
    assert elsr.parameters == 3_474
    assert elsr_y.multiply_adds == 57_600 * 9 * (10 + 100 + 100 + 160)


def test_a_network_has_the_name_of_its_file_and_the_lr_of_its_metadata(tmp_path, save_nearest):
    save_nearest(tmp_path / "elsr_x4.safetensors")
    save_nearest(tmp_path / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    save_nearest(tmp_path / "mine.safetensors", degradation="blur_noise")
    found = [(n.name, n.degradation) for n in quality.load_networks(tmp_path, "eager")]
    assert found == [("elsr", "bicubic"), ("elsr-aliased", "opencv_cubic"), ("mine", "blur_noise")]


def test_published_costs_are_those_their_papers_state():
    costs = {(row.method, row.scale): row.multiply_adds for row in PUBLISHED}
    assert costs["SRCNN, luma", 4] == 57_184 * 1280 * 720  # 52.7 G
    assert costs["PyTorch port of ELSR", 4] == 195_955_200
    assert costs["bicubic", 4] is None


def test_ranges_are_of_what_the_layers_hold(weights, noise):
    network = quality.load_networks(weights, "eager")[0]
    head, *_, shuffle = quality.value_ranges(network.graph, [noise(9, 11, 3)])
    assert head["layer"] == "conv 3x3, 3 to 6"
    assert head["weights"] == [0, 1] and head["biases"] == [0, 0]
    assert shuffle["weights"] is None and shuffle["outputs"] == [0, 1]  # noise, repeated


def test_an_engine_that_is_off_is_found_out(weights, noise, monkeypatch):
    for network in quality.load_networks(weights, "eager")[1:]:
        assert quality.disagreement(network, [noise(9, 11, 3)])["levels"] <= 1
        run = network.engine._backend.run
        monkeypatch.setattr(network.engine._backend, "run", lambda image, run=run: 255 - run(image))
        assert quality.disagreement(network, [noise(9, 11, 3)])["levels"] > 1


def test_a_folder_without_networks_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        quality.load_networks(tmp_path)


def test_the_script_gives_tables_figures_and_the_picture_of_costs(tmp_path, run_python, weights,
                                                                  sets, save_nearest):
    save_nearest(weights / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/notes.txt").touch()  # what is no clip is passed over
    for number in range(5):
        write_image(tmp_path / f"clips/pan/{number}.png", coffee()[number : number + 60, 100:180])
    done = run_python("-c", SCRIPT, "--benchmarks", sets, "--clips", tmp_path / "clips",
                      "--weights", weights, "--engine", "eager", "--json", tmp_path / "all.json",
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
