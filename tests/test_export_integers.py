"""Networks in 8-bit integers stay close to the network, and runtimes compute what was planned."""

from dataclasses import replace

import numpy as np
import pytest
from odd_networks import ODD
from skimage.data import astronaut, chelsea
from test_export import levels, run_or_skip, write_or_skip

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.demo import calibration_photos
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.export.doubling import doubled, set_apart
from elsr_paddle.export.equalisation import equalised
from elsr_paddle.export.features import features_of
from elsr_paddle.export.format import ExportOptions
from elsr_paddle.export.formats import FORMATS
from elsr_paddle.export.quantised import quantise
from elsr_paddle.export.steps import HIGHEST, LOWEST, Step
from elsr_paddle.imaging.io import read_image
from elsr_paddle.imaging.luma import rgb_to_luma, rgb_to_y
from elsr_paddle.imaging.metrics import psnr
from elsr_paddle.networks import zoo
from elsr_paddle.networks.graph import evaluate, outputs
from elsr_paddle.networks.operations import PReLU
from elsr_paddle.networks.rewrites import folded
from elsr_paddle.networks.weights import read

INTEGERS = [("onnx-int8", "ONNX Runtime"), ("onnx-int8", "OpenVINO"), ("tflite-int8", "LiteRT")]
LOST_DB = 0.10  # that integers may lose on Y


def photos(channels, side=16):
    """Two small LR photos, as a network reads them."""
    found = [make_pair(photo[100:100 + 4 * side, 150:150 + 4 * side], 4)[0]
             for photo in (chelsea(), astronaut())]
    return found if channels == 3 else [rgb_to_luma(photo)[:, :, None] for photo in found]


def rgb_photos(side=16):
    return tuple(photos(3, side))


@pytest.mark.parametrize("network", ODD, ids=str)
@pytest.mark.parametrize("name, runtime", INTEGERS)
def test_a_runtime_computes_the_integers_that_were_planned(
    name, runtime, network, trained, tmp_path
):
    made = trained(network)
    files = write_or_skip(name, made, tmp_path, photos=rgb_photos())
    planned = quantise(made.graph, photos(made.channels))
    picture = photos(made.channels)[0]
    expected = 255 * planned.outputs(picture)[-1].transpose(1, 2, 0)
    image = picture[:, :, 0] if made.channels == 1 else picture
    restored = run_or_skip(name, files, image, runtime)
    assert restored.dtype == np.uint8
    difference = restored.reshape(expected.shape) - expected
    assert np.sqrt(np.mean(difference**2)) < 2  # OpenVINO adds before it rounds
    assert psnr(levels(made.graph, image), restored) > 28  # the first one spans 1,150 levels


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
@pytest.mark.parametrize("name, runtime", INTEGERS)
def test_a_photo_loses_little_by_integers(name, runtime, model, tmp_path):
    made = read(zoo.find(model, 4))
    files = write_or_skip(name, made, tmp_path, photos=rgb_photos(48))
    lr, hr = make_pair(chelsea()[20:276, 40:424], 4)
    if made.channels == 1:
        lr, hr = rgb_to_luma(lr), rgb_to_luma(hr)
    scores = [psnr(*map(luma, (hr, restored)), crop_border=4) for restored in
              (levels(made.graph, lr).round(), run_or_skip(name, files, lr, runtime))]
    assert scores[0] - scores[1] < LOST_DB


@pytest.mark.parametrize("name, floats", [("onnx-int8", "onnx"), ("tflite-int8", "tflite")])
def test_the_benchmark_sets_lose_little_by_integers(name, floats, folder_from, tmp_path):
    made = read(zoo.find("elsr-y", 4))
    sets = find_sets(folder_from("ELSR_BENCHMARKS"), made.scale)
    given = tuple(calibration_photos(made.scale, made.degradation))
    files = {kind: write_or_skip(kind, made, tmp_path, photos=given) for kind in (name, floats)}
    for stills in sets.values():
        photos = [read_image(still.path) for still in stills[:14:3]]
        lost = mean_psnr(floats, files[floats], photos) - mean_psnr(name, files[name], photos)
        assert lost < LOST_DB


def mean_psnr(name, files, photos):
    """On luma, in dB, of a network for x4."""
    pairs = [map(rgb_to_luma, make_pair(photo, 4)) for photo in photos]
    return np.mean([psnr(hr, run_or_skip(name, files, lr), crop_border=4) for lr, hr in pairs])


def luma(image):
    return rgb_to_y(image) if image.ndim == 3 else image


def test_integers_can_go_from_tensors_to_tensors(trained, tmp_path):
    made = trained("elsr-y", scale=2)
    given = {"photos": rgb_photos(), "values": "float"}
    files = write_or_skip("onnx-int8", made, tmp_path, **given)
    image = photos(1)[0][:, :, 0]
    restored = run_or_skip("onnx-int8", files, image)
    assert restored.dtype == np.float32
    bytes_files = write_or_skip("onnx-int8", made, tmp_path / "bytes", photos=rgb_photos())
    assert np.abs(restored - run_or_skip("onnx-int8", bytes_files, image)).max() < 1e-3


def test_equalised_features_fill_their_range_and_the_network_stays_the_same(trained):
    graph = folded(trained("elsr-y", scale=2).graph)
    graph.arrays["head.0.weight"][0] *= 100
    graph.arrays["head.0.bias"][0] *= 100
    given = photos(1)
    made = equalised(graph, given)
    before, after = (evaluate(found, given[0]) for found in (graph, made))
    assert np.allclose(before, after, rtol=1e-4, atol=1e-2)
    largest = np.abs(made.arrays["head.0.weight"]).max(axis=(1, 2, 3))
    assert largest.max() / largest.min() < 50


def test_a_channel_that_makes_most_of_the_error_is_given_twice_with_the_same_result():
    graph, given = folded(read(zoo.find("elsr-y", 2)).graph), photos(1)
    made, copied = doubled(graph, given)
    before, after = (evaluate(found, given[0]) for found in (graph, made))
    assert np.allclose(before, after, atol=1e-3)
    assert [made.widths[index] - graph.widths[index] for index in copied] == [1, 1]
    assert [made.nodes[index].op.name for index in copied] == ["head.0", "body.6"]


@pytest.mark.parametrize("network", ODD, ids=str)
def test_no_network_gives_another_result_once_equalised_and_doubled(network, trained, monkeypatch):
    monkeypatch.setattr("elsr_paddle.export.doubling.LEAST_SHARE", 0)
    made = trained(network)
    graph, given = folded(made.graph), photos(made.channels)
    same = equalised(graph, given)
    assert np.allclose(evaluate(graph, given[0]), evaluate(same, given[0]), rtol=1e-3, atol=0.05)
    twice, _ = doubled(same, given)
    assert np.allclose(evaluate(same, given[0]), evaluate(twice, given[0]), rtol=1e-3, atol=0.05)


def test_no_channel_is_given_twice_where_several_carry_the_picture():
    graph = folded(read(zoo.find("elsr", 4)).graph)
    assert doubled(graph, photos(3)) == (graph, [])


def test_two_copies_half_a_step_apart_are_rounded_in_half_steps():
    values, step = np.linspace(0, 1, 1001, dtype=np.float32), Step(1 / 16, 0)
    (known,) = set_apart([[np.stack([values] * 2)[:, None]]], [0], [step])
    mean = step.rounded(known[0]).mean(axis=0) - step.scale / 4
    assert np.abs(mean - values).max() <= step.scale / 4 + 1e-6


def test_a_step_has_zero_among_its_values_and_covers_what_is_read(trained):
    graph, given = folded(trained("elsr-y", scale=2).graph), photos(1)
    known = [outputs(graph, photo, np.float32) for photo in given]
    inner = range(1, len(graph.nodes) - 2)
    for index, feature in features_of(graph, given, known, inner).items():
        step = feature.best_step()
        assert step.rounded(np.float32([0.0])) == 0
        assert LOWEST <= step.zero <= HIGHEST
        if not isinstance(graph.nodes[index + 1].op, PReLU):  # which hides what is below zero
            assert np.abs(step.rounded(feature.values) - feature.values).mean() < step.scale


def test_a_step_spends_no_integers_on_what_a_rectifier_takes_away(trained):
    graph, given = folded(trained("elsr-y", scale=2).graph), photos(1)
    slopes = {name: np.zeros_like(array) for name, array in graph.arrays.items()
              if name.endswith("1.weight")}
    graph = replace(graph, arrays={**graph.arrays, **slopes})
    known = [outputs(graph, photo, np.float32) for photo in given]
    feature = features_of(graph, given, known, [1])[1]
    assert feature.values.min() < -10 * feature.best_step().scale
    assert feature.best_step().zero < LOWEST + 20


def test_photos_of_one_colour_are_no_failure(trained):
    made = quantise(trained("elsr", scale=2).graph, [np.zeros((8, 8, 3), np.uint8)])
    assert all(np.isfinite(array).all() for array in made.graph.arrays.values())


def test_integers_need_photos(trained, tmp_path):
    with pytest.raises(InputError, match="expected photos to calibrate integers on"):
        FORMATS["onnx-int8"].write(trained("elsr"), tmp_path, ExportOptions())
