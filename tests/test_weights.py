"""The networks that ship: they are what their names say, cost what they may, and are good."""

import numpy as np
import pytest
from skimage.data import astronaut, chelsea

from elsr_paddle.checkpoint import degradation_of, load_weights
from elsr_paddle.engines import find_weights, load_engine
from elsr_paddle.engines.loading import SUFFIXES, WEIGHTS
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import PROTOCOLS, evaluate_image
from elsr_paddle.evaluation.shipped import evaluate_sets, load_networks, value_ranges
from elsr_paddle.graph import build_graph
from elsr_paddle.imaging.io import write_image
from elsr_paddle.models import build_model, count_parameters, load_arrays, load_model, multiply_adds

NETWORKS = [(model, scale) for model in ("elsr", "elsr-y") for scale in (2, 3, 4)]
networks = pytest.mark.parametrize("model, scale", NETWORKS)

PARAMETERS = 3_474  # of the paper's network at x4, with a slope for each channel
WEIGHTS_OF_KERNELS = 3_500  # that luma networks may have at x4
MULTIPLY_ADDS = 196_000_000  # for 320x180 -> 1280x720, the paper's cost
# Set5, PSNR on Y, as in weights/README.md; other processors may round a few values otherwise.
SET5_DB = {("elsr", 2): 35.75, ("elsr", 3): 31.79, ("elsr", 4): 29.72,
           ("elsr-y", 2): 36.43, ("elsr-y", 3): 32.49, ("elsr-y", 4): 30.26}  # fmt: skip


@networks
def test_a_shipped_file_is_the_network_of_its_name(model, scale):
    weights, metadata = load_weights(find_weights(model, scale))
    assert (metadata["model"], metadata["config"]["scale"]) == (model, scale)
    network = build_model(metadata)
    load_arrays(network, weights)  # refuses what is missing, unknown or of another shape
    assert build_graph(weights, metadata).channels == (3 if model == "elsr" else 1)
    assert {"stage", "seed", "step", "versions"} <= set(metadata)  # how it was trained


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_shipped_file_is_called_by_its_model_its_lr_and_its_scale(path):
    metadata = load_weights(path)[1]
    name = metadata["model"] + SUFFIXES[degradation_of(metadata)]
    assert path.stem == f"{name}_x{metadata['config']['scale']}"


def test_networks_cost_no_more_than_the_papers():
    elsr, luma = (load_model(model, scale=4) for model in ("elsr", "elsr-y"))
    assert count_parameters(elsr) == PARAMETERS
    kernels = [array for array in load_weights(find_weights("elsr-y", 4))[0].values()
               if array.ndim == 4]  # fmt: skip
    assert sum(kernel.size for kernel in kernels) <= WEIGHTS_OF_KERNELS
    assert max(max(kernel.shape[2:]) for kernel in kernels) <= 5
    for network in (elsr, luma):
        assert multiply_adds(network, 180, 320) <= MULTIPLY_ADDS


def test_shipped_networks_are_read_without_the_framework(run_python):
    done = run_python("-c", "import sys; sys.modules['paddle'] = None\n"
                      "from elsr_paddle.checkpoint import load_weights\n"
                      "from elsr_paddle.engines import find_weights\n"
                      "from elsr_paddle.graph import build_graph\n"
                      f"for name in {NETWORKS}:\n"
                      "    build_graph(*load_weights(find_weights(*name)))")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_name_alone_means_x4():
    assert find_weights("elsr") == find_weights("elsr", 4)
    with pytest.raises(InputError, match="elsr-y_x4"):
        find_weights("elsr", 5)


@networks
def test_a_photo_comes_out_far_better_than_by_bicubic(model, scale):
    engine = load_engine(model, scale=scale, engine="eager")
    item = evaluate_image(
        astronaut(), {model: engine.upscale}, scale=scale, protocol=PROTOCOLS["y"]
    )
    score = item.restored[model].score
    assert score.psnr_db > item.bicubic_score.psnr_db + 0.8
    assert score.ssim > item.bicubic_score.ssim


@networks
def test_no_layer_holds_absurd_magnitudes(model, scale):
    graph = build_graph(*load_weights(find_weights(model, scale)))
    for held in value_ranges(graph, [chelsea()[::4, ::4]]):
        assert np.abs(held["weights"] or 0).max() < 8
        assert np.abs(held["outputs"]).max() < 16  # the picture is 0 .. 1


@networks
def test_set5_has_the_stated_scores_each_picture_above_bicubic(model, scale, folder_from, tmp_path):
    benchmarks = folder_from("ELSR_BENCHMARKS")
    path = find_weights(model, scale)
    (tmp_path / path.name).write_bytes(path.read_bytes())
    figures = evaluate_sets(benchmarks / "Set5", load_networks(tmp_path, "eager"),
                            on_error=pytest.fail)["Set5"]  # fmt: skip
    assert len(figures["items"]) == 5
    for item in figures["items"]:
        assert item[model]["psnr_db"] > item["bicubic"]["psnr_db"], item["name"]
    assert figures["mean"][model]["psnr_db"] > SET5_DB[model, scale] - 0.02


@pytest.mark.parametrize("arguments", [("--weights", "elsr-y"), ("--model", "elsr-y"),
                                       ("--model", "elsr", "--scale", "3")])
def test_the_scripts_find_shipped_networks_without_a_path(tmp_path, root, run_python, arguments):
    write_image(tmp_path / "cat.png", np.ascontiguousarray(chelsea()[80:160, 80:200]))
    done = run_python(root / "test.py", "cat.png", *arguments, "--figures", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model, scale = arguments[1], 3 if "--scale" in arguments else 4
    assert f"{model}_x{scale}.safetensors ({model} x{scale})" in done.stdout
