"""The networks that ship: they are what their names say, cost what they may, and are good."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, chelsea

from elsr_paddle.engines.choose import load_engine
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import evaluate_sets, load_candidates
from elsr_paddle.evaluation.compare import evaluate_image
from elsr_paddle.evaluation.inspection import value_ranges
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.weights import read
from elsr_paddle.networks.zoo import SHIPPED, Entry, available, choose, find

NETWORKS = [(model, scale) for model in ("elsr", "elsr-y", "elsr-m")
            for scale in (2, 3, 4)]
networks = pytest.mark.parametrize("model, scale", NETWORKS)

PARAMETERS = 3_474  # of the paper's network at x4, with a slope for each channel
WEIGHTS_OF_KERNELS = 3_500  # that luma networks may have at x4
MULTIPLY_ADDS = 196_000_000  # for 320x180 -> 1280x720, the paper's cost
# Set5, PSNR on Y, as in weights/README.md; other processors may round a few values otherwise.
SET5_DB = {("elsr", 2): 35.75, ("elsr", 3): 31.79, ("elsr", 4): 29.72,
           ("elsr-y", 2): 36.45, ("elsr-y", 3): 32.50, ("elsr-y", 4): 30.27,
           ("elsr-m", 2): 36.94, ("elsr-m", 3): 33.02, ("elsr-m", 4): 30.90}  # fmt: skip


@networks
def test_a_shipped_file_is_the_network_of_its_name(model, scale):
    found = read(find(model, scale))  # refuses what is missing, unknown or of another shape
    assert (found.network.name, found.scale) == (model, scale)
    assert found.channels == (3 if model == "elsr" else 1)
    assert {"stage", "seed", "step", "versions"} <= set(found.metadata)  # how it was trained


each_file = pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")),
                                    ids=lambda path: path.stem)
SUFFIXES = {"bicubic": "", "opencv_cubic": "-aliased"}  # how LR was made -> in a file's name

# SHA-256 of the picture that each file makes of a photo, in float64, rounded; computed by the
# package as it was before networks were described as operations (commit 6cfae89).
PICTURES = {
    "elsr-aliased_x4": "026dd988abd473e4fc8c1729472d4d109e3e574cd0cbce80b9d2dca4a3fa1c70",
    "elsr-y-aliased_x4": "4430d8b303775472f197853ec2e75b05e7b01157e1b81c086eba6bc623de78d5",
    "elsr-y_x2": "68ddf88076852c835de47c8d1c449f2b2ce16413113977fc9e7727cd027ec052",
    "elsr-y_x3": "7b78a6f65a83f97528064aca524806b2f3e63cdc1c0a8fa38eab3b1448f11d31",
    "elsr-y_x4": "dbb3c68e0406a3a42096d6f82adc75e972d8848ca13c6fcc8a0f01520820adf7",
    "elsr_x2": "ae3859933891817b8969902ca8be6212006f890be9d504d8d9a0705a8c355ac9",
    "elsr_x3": "daef481266161a005a36f1d15d5a26b518750a3264fa912306e4d24325f3a7cd",
    "elsr_x4": "d0328b65057bb2e1f9d7bdb0b755566740a82be8cf8fffd9fd418d21f9e75efe",
}


@each_file
def test_a_shipped_file_is_called_by_its_model_its_lr_and_its_scale(path):
    found = read(path)
    name = found.network.name + SUFFIXES[found.degradation]
    assert path.stem == f"{name}_x{found.scale}"


@pytest.mark.parametrize("name", PICTURES)
def test_a_shipped_file_makes_the_same_picture_as_ever(name):
    found = read(SHIPPED / f"{name}.safetensors")
    image = np.ascontiguousarray(chelsea()[::3, ::3, : found.channels])
    restored = np.rint(evaluate(found.graph, image).clip(0, 255)).astype(np.uint8)
    assert hashlib.sha256(restored.tobytes()).hexdigest() == PICTURES[name]


def test_networks_cost_no_more_than_the_papers():
    elsr, luma = (read(find(model, 4)) for model in ("elsr", "elsr-y"))
    assert elsr.graph.parameter_count == PARAMETERS
    kernels = [node.op for node in luma.graph.nodes if isinstance(node.op, ops.Conv)]
    assert sum(op.multiply_adds for op in kernels) <= WEIGHTS_OF_KERNELS
    assert max(op.kernel for op in kernels) <= 5
    for found in (elsr, luma):
        assert found.graph.multiply_adds * 320 * 180 <= MULTIPLY_ADDS


def test_shipped_networks_are_read_without_the_framework(run_python):
    done = run_python("-c", "import sys; sys.modules['paddle'] = None\n"
                      "from elsr_paddle.networks.weights import read\n"
                      "from elsr_paddle.networks.zoo import find\n"
                      f"for name in {NETWORKS}:\n"
                      "    read(find(*name))")  # fmt: skip
    assert done.returncode == 0, done.stderr


def entry(model="elsr", scale=4, degradation="bicubic", stage=0):
    suffix = "" if degradation == "bicubic" else "-aliased"
    return Entry(Path(f"{model}{suffix}_x{scale}.safetensors"), model, scale, degradation, stage)


def test_what_was_trained_goes_before_what_ships_and_the_highest_stage_before_the_others():
    files = [entry(), entry(stage=2), entry(stage=4), entry("elsr-y", stage=5), entry(scale=2)]
    assert choose(files, "elsr", 4) == files[2]
    assert choose(files, "elsr", 4, shipped_first=True) == files[0]
    assert choose(files, "elsr-y", 4, shipped_first=True) == files[3]
    assert choose(files, "elsr", 3) is None


def test_the_file_for_the_lr_at_hand_goes_before_all_others():
    files = [entry(), entry(degradation="opencv_cubic"), entry(stage=5)]
    assert choose(files, "elsr", 4, "opencv_cubic") == files[1]
    assert choose(files, "elsr", 4, "bicubic") == files[2]
    assert choose(files, "elsr-aliased", 4) == files[1]
    assert choose(files, "elsr", 4, "blur_noise") == files[2]  # none is for it


def test_where_no_file_is_for_the_lr_the_one_of_the_very_name_is_taken():
    files = [entry(degradation="opencv_cubic"), entry()]
    assert choose(files, "elsr", 4, "blur_noise") == files[1]


def test_files_under_out_are_found_and_damaged_ones_are_named(tmp_path, save_nearest):
    save_nearest(tmp_path / "stage3" / "best.safetensors")
    (tmp_path / "stage4").mkdir()
    (tmp_path / "stage4" / "best.safetensors").write_bytes(b"no weights")
    entries, damaged = available(tmp_path)
    assert choose(entries, "elsr", 4).path == tmp_path / "stage3" / "best.safetensors"
    assert len(damaged) == 1
    assert "stage4/best.safetensors is damaged or not a file of weights" in damaged[0]


def test_the_name_alone_means_x4():
    assert find("elsr") == find("elsr", 4)
    with pytest.raises(InputError, match="elsr-y x4"):
        find("elsr", 5)


@networks
def test_a_photo_comes_out_far_better_than_by_bicubic(model, scale):
    engine = load_engine(model, scale=scale, engine="eager")
    item = evaluate_image(astronaut(), {model: engine.upscale}, EvaluationOptions(scale))
    score = item.restored[model].score
    assert score.psnr_db > item.bicubic_score.psnr_db + 0.8
    assert score.ssim > item.bicubic_score.ssim


@networks
def test_no_layer_holds_absurd_magnitudes(model, scale):
    graph = read(find(model, scale)).graph
    for held in value_ranges(graph, [chelsea()[::4, ::4]]):
        assert np.abs(held.weights or 0).max() < 8
        assert np.abs(held.outputs).max() < 16  # the picture is 0 .. 1


@networks
def test_set5_has_the_stated_scores_each_picture_above_bicubic(model, scale, folder_from, tmp_path):
    benchmarks = folder_from("ELSR_BENCHMARKS")
    path = find(model, scale)
    (tmp_path / path.name).write_bytes(path.read_bytes())
    found = evaluate_sets(benchmarks / "Set5", load_candidates(tmp_path, "eager"),
                          EvaluationOptions(scale), pytest.fail)["Set5"]  # fmt: skip
    assert len(found.items) == 5
    for record in found.items:
        assert record.scores[model].psnr_db > record.scores["bicubic"].psnr_db, record.name
    assert found.mean[model].psnr_db > SET5_DB[model, scale] - 0.02


@pytest.mark.parametrize("arguments", [("--weights", "elsr-y"), ("--model", "elsr-y"),
                                       ("--model", "elsr", "--scale", "3")])
def test_the_scripts_find_shipped_networks_without_a_path(tmp_path, root, run_python, arguments):
    write_image(tmp_path / "cat.png", np.ascontiguousarray(chelsea()[80:160, 80:200]))
    done = run_python(root / "test.py", "cat.png", *arguments, "--figures", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model, scale = arguments[1], 3 if "--scale" in arguments else 4
    assert f"{model}_x{scale}.safetensors ({model} x{scale})" in done.stdout
