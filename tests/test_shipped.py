"""The networks that ship: they are what their names say, cost what they may, and are good."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, chelsea

from elsr_paddle.data.degradations import Corrupted
from elsr_paddle.engines.choose import load_engine
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import evaluate_sets, load_candidates
from elsr_paddle.evaluation.compare import evaluate_image
from elsr_paddle.evaluation.inspection import value_ranges
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.real_sources import as_enlarged, measure_pictures, methods_of
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.imaging.degrade import JPEG, OpenCVCubic
from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.weights import read
from elsr_paddle.networks.zoo import SHIPPED, Entry, available, choose, find

NETWORKS = [("espcn", 3), *((model, scale) for model in ("elsr", "elsr-y", "elsr-m", "elsr-l")
                            for scale in (2, 3, 4))]
networks = pytest.mark.parametrize("model, scale", NETWORKS)

PARAMETERS = 3_474  # of the paper's network at x4, with a slope for each channel
PARAMETERS_Y = 3_700  # that elsr-y may have at x4
MULTIPLY_ADDS = {"elsr": 196_000_000, "elsr-y": 205_000_000}  # for 320x180 -> 1280x720
# Set5, PSNR on Y, as in weights/README.md; other processors may round a few values otherwise.
SET5_DB = {("elsr", 2): 35.70, ("elsr", 3): 31.76, ("elsr", 4): 29.72,
           ("elsr-y", 2): 36.67, ("elsr-y", 3): 32.72, ("elsr-y", 4): 30.46,
           ("elsr-m", 2): 37.06, ("elsr-m", 3): 33.14, ("elsr-m", 4): 30.98,
           ("elsr-l", 2): 37.27, ("elsr-l", 3): 33.47, ("elsr-l", 4): 31.26,
           ("espcn", 3): 32.51}  # fmt: skip


@networks
def test_a_shipped_file_is_the_network_of_its_name(model, scale):
    found = read(find(model, scale))  # refuses what is missing, unknown or of another shape
    assert (found.network.name, found.scale) == (model, scale)
    assert found.channels == (3 if model == "elsr" else 1)
    assert {"stage", "seed", "step", "versions"} <= set(found.metadata)  # how it was trained


each_file = pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")),
                                    ids=lambda path: path.stem)
# how LR was made -> in a file's name
SUFFIXES = {"bicubic": "", "aliased": "-aliased", "compressed": "-compressed", "jpeg": "-jpeg"}

# SHA-256 of the picture that each file makes of a photo, in float64, rounded; computed on
# 2026-11-30, when the files were made.
PICTURES = {
    "elsr_x2": "f3d1616720ca3a0b36e6082580dceb726aaa859d5ceb129c30408b336ba9d86e",
    "elsr_x3": "deacedfe71dfb72c1b5b89476454301288ee1cd1831290aa43fe5440561e6af0",
    "elsr_x4": "c0b9a6acc32e3d602dac181428d3dbdc76c4f8e67dd37fd8353a17f972e2f4e3",
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


STURDY = {"jpeg": Corrupted(codec=JPEG(50)), "compressed": Corrupted(noise=10),
          "aliased": OpenCVCubic()}  # fmt: skip
# Mean gain over bicubic on Set5, PSNR on Y in dB, as `quality.py --real` counts it.
STURDY_GAINS_DB = {
    ("elsr-y-jpeg", 2): 1.09, ("elsr-y-jpeg", 4): 0.77,
    ("elsr-m-jpeg", 2): 1.29, ("elsr-m-jpeg", 4): 0.97,
    ("elsr-l-jpeg", 2): 1.42, ("elsr-l-jpeg", 4): 1.07,
    ("elsr-y-compressed", 2): 0.93, ("elsr-y-compressed", 4): 0.90,
    ("elsr-m-compressed", 2): 1.32, ("elsr-m-compressed", 4): 1.22,
    ("elsr-l-compressed", 2): 1.60, ("elsr-l-compressed", 4): 1.38,
    ("elsr-y-aliased", 2): 1.23, ("elsr-y-aliased", 3): 0.81, ("elsr-y-aliased", 4): 0.62,
    ("elsr-m-aliased", 2): 1.29, ("elsr-m-aliased", 3): 0.97, ("elsr-m-aliased", 4): 0.80,
}  # fmt: skip


@pytest.mark.parametrize("name, scale", STURDY_GAINS_DB)
def test_a_network_for_other_sources_gains_where_that_for_clean_ones_loses(
        name, scale, folder_from):
    model, kind = name.rsplit("-", 1)
    stills = find_sets(folder_from("ELSR_BENCHMARKS") / "Set5", scale, given_lr=False)["Set5"]
    networks = {name: load_engine(name, scale=scale, engine="numpy").upscale
                for name in (name, model)}
    methods = as_enlarged(methods_of(networks, scale), {f"{model}-jpeg"}, STURDY[kind])
    found = measure_pictures(stills, methods, STURDY[kind], scale)
    assert found.gain_db(name) > STURDY_GAINS_DB[name, scale] - 0.02
    assert found.below_bicubic(name) <= 1
    assert found.gain_db(model) < 0


def test_networks_cost_no_more_than_the_papers():
    elsr, luma = (read(find(model, 4)) for model in ("elsr", "elsr-y"))
    assert elsr.graph.parameter_count == PARAMETERS
    assert luma.graph.parameter_count <= PARAMETERS_Y
    for found in (elsr, luma):
        assert found.graph.multiply_adds * 320 * 180 <= MULTIPLY_ADDS[found.network.name]


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


def test_a_network_for_a_mixture_is_for_each_of_its_ways():
    files = [entry(), entry(degradation="aliased"), entry(stage=5)]
    assert choose(files, "elsr", 4, "opencv_linear") == files[1]
    assert choose([*files, entry(degradation="opencv_cubic")], "elsr", 4, "aliased") == files[1]
    assert choose(files, "elsr", 4, "area") == files[2]


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
