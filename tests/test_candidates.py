"""Networks side by side: read from a folder, evaluated on the same pictures, counted."""

import numpy as np
import pytest
from skimage.data import coffee

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import (
    below_bicubic,
    evaluate_clips,
    evaluate_sets,
    load_candidates,
)
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks.weights import save_tensors


@pytest.fixture
def weights(tmp_path, save_nearest, trained):
    """A folder of networks: nearest neighbour at x2 and x4, and a random elsr-y x4."""
    folder = tmp_path / "weights"
    for scale in (2, 4):
        save_nearest(folder / f"elsr_x{scale}.safetensors", scale)
    made = trained("elsr-y", scale=4)
    save_tensors(folder / "elsr-y_x4.safetensors", made.graph.arrays, made.metadata)
    return folder


@pytest.fixture
def sets(tmp_path):
    """A folder with a set of two pictures, and one that cannot be read."""
    for top in (0, 100):
        photo = np.ascontiguousarray(coffee()[top : top + 60, 100:183])
        write_image(tmp_path / f"sets/Mine/HR/{top}.png", photo)
    (tmp_path / "sets/Mine/HR/cut.png").write_bytes(b"broken")
    return tmp_path / "sets"


def test_a_folder_of_weights_is_loaded_by_scale_and_name(weights):
    found = load_candidates(weights, "numpy")
    assert [(each.scale, each.name) for each in found] == [(2, "elsr"), (4, "elsr"), (4, "elsr-y")]


def test_a_network_has_the_name_of_its_file_and_the_lr_of_its_metadata(tmp_path, save_nearest):
    save_nearest(tmp_path / "elsr_x4.safetensors")
    save_nearest(tmp_path / "elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    save_nearest(tmp_path / "mine.safetensors", degradation="blur_noise")
    found = [(each.name, each.trained.degradation) for each in load_candidates(tmp_path, "numpy")]
    assert found == [("elsr", "bicubic"), ("elsr-aliased", "opencv_cubic"), ("mine", "blur_noise")]


def test_a_folder_without_networks_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        load_candidates(tmp_path)


def test_the_cost_of_a_network_is_that_of_the_paper(weights):
    _, elsr, elsr_y = load_candidates(weights, "numpy")
    assert elsr.multiply_adds == 195_955_200  # 3,402 weights of kernels x 57,600 pixels
    assert elsr.as_dict()["parameters"] == 3_474
    assert elsr_y.multiply_adds == 57_600 * 9 * (8 + 4 * 64 + 128)


def test_a_candidate_stands_in_json_with_all_that_it_is(weights):
    assert load_candidates(weights, "numpy")[1].as_dict() == {
        "file": "elsr_x4.safetensors", "name": "elsr", "model": "elsr", "scale": 4,
        "config": {"scale": 4, "width": 6, "prelu": "channel"}, "degradation": "bicubic",
        "parameters": 3_474, "multiply_adds": 195_955_200, "engine": "numpy",
    }  # fmt: skip


def test_networks_are_evaluated_on_the_same_pictures_and_what_cannot_be_read_is_told_once(
    weights, sets
):
    skipped = []
    _, *networks = load_candidates(weights, "numpy")
    results = evaluate_sets(sets, networks, EvaluationOptions(4), skipped.append)
    assert len(skipped) == 1 and "cut.png" in str(skipped[0])
    assert [record.name for record in results["Mine"].items] == ["0.png", "100.png"]
    for record in results["Mine"].items:
        assert list(record.scores) == ["bicubic", "elsr", "elsr-y"]


def test_pictures_below_bicubic_are_counted(weights, sets):
    networks = load_candidates(weights, "numpy")[1:2]
    results = evaluate_sets(sets, networks, EvaluationOptions(4), lambda error: None)
    below = below_bicubic(results, "elsr")  # nearest neighbours lose to bicubic everywhere
    assert [(found.set_name, found.image_name) for found in below] == [("Mine", "0.png"),
                                                                       ("Mine", "100.png")]
    assert all(found.network_db < found.bicubic_db for found in below)


def test_clips_are_folders_of_frames_and_what_is_no_clip_is_passed_over(weights, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/notes.txt").touch()
    for number in range(5):
        write_image(tmp_path / f"clips/pan/{number}.png", coffee()[number : number + 60, 100:180])
    networks = load_candidates(weights, "numpy")[1:2]
    options = EvaluationOptions(4, "port")
    results = evaluate_clips(tmp_path / "clips", networks, options, pytest.fail, every=4)
    assert [record.name for record in results["pan"].items] == ["0", "4"]
