"""Networks on the sources that people have: gains, flicker and ringing are what they say."""

import json

import numpy as np
import pytest
from skimage.data import coffee

from elsr_paddle.data.degradations import Corrupted
from elsr_paddle.evaluation.protocol import PROTOCOLS, flicker
from elsr_paddle.evaluation.real_sources import (
    FILMS,
    LANCZOS,
    as_enlarged,
    measure_clips,
    measure_pictures,
    methods_of,
    overshoot,
    ringing,
    step_edge,
)
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.evaluation.stills import Still
from elsr_paddle.imaging.degrade import JPEG, Bicubic
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.jpeg import deblocked

SCRIPT = ("import runpy, sys; sys.path.insert(0, 'benchmarks'); "
          "runpy.run_path('benchmarks/quality.py', run_name='__main__')")  # fmt: skip
RULES = PROTOCOLS["y"]


def photo(top=0, height=60, width=84):
    return np.ascontiguousarray(coffee()[top:top + height, 100:100 + width])


def nearest(lr, scale=4):
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.fixture
def stills(tmp_path):
    paths = [tmp_path / f"B100/HR/{top}.png" for top in (0, 100)]
    for path in paths:
        write_image(path, photo(int(path.stem)))
    return [Still(path.name, path) for path in paths]


def test_a_clip_that_keeps_still_or_changes_as_its_original_does_not_flicker():
    clip = [photo(top) for top in (0, 5)]
    brighter = [frame // 2 + 20 for frame in clip]
    assert flicker(clip, clip, RULES, scale=2) == np.inf
    shift = [np.clip(frame, 0, 200) for frame in clip]
    constant = [frame + 55 for frame in shift]
    assert flicker(shift, constant, RULES, scale=2) > 200  # but for rounding
    assert flicker(clip, brighter, RULES, scale=2) < 40


def test_noise_that_changes_from_frame_to_frame_flickers_and_the_same_noise_does_not():
    rng = np.random.default_rng(0)
    clip = [photo().clip(20, 230)] * 2
    noise = [rng.integers(-10, 11, clip[0].shape) for _ in range(2)]
    still = [(frame + noise[0]).astype(np.uint8) for frame in clip]
    moving = [(frame + each).astype(np.uint8) for frame, each in zip(clip, noise)]
    assert flicker(clip, still, RULES, scale=2) == np.inf
    assert 20 < flicker(clip, moving, RULES, scale=2) < 40


def test_gains_are_over_bicubic_and_pictures_below_it_are_counted(stills):
    methods = methods_of({"nearest": nearest}, 4)
    found = measure_pictures(stills, methods, Corrupted(codec=JPEG(50)), 4)
    assert list(found.psnr_db) == [BICUBIC, LANCZOS, "nearest"]
    assert found.gain_db(BICUBIC) == 0 and found.gain_db("nearest") < 0
    assert found.below_bicubic("nearest") == 2 and found.below_bicubic(BICUBIC) == 0
    assert found.steadier_db("nearest") is None
    clean = measure_pictures(stills, methods, Bicubic(), 4)
    assert np.mean(clean.psnr_db[BICUBIC]) > np.mean(found.psnr_db[BICUBIC]) + 0.5


def test_networks_for_compressed_sources_take_a_jpeg_deblocked_and_others_as_it_is():
    lr = JPEG(30)(photo()[None])[0]
    methods = {"sturdy": nearest, "other": nearest}
    found = as_enlarged(methods, {"sturdy"}, Corrupted(codec=JPEG(30)))
    np.testing.assert_array_equal(found["sturdy"](lr), nearest(deblocked(lr, JPEG(30).steps)))
    np.testing.assert_array_equal(found["other"](lr), nearest(lr))
    for kind in (Bicubic(), FILMS["H.264 CRF 28"], None):
        assert as_enlarged(methods, {"sturdy"}, kind) == methods


def test_clips_have_their_flicker_and_a_worse_film_has_a_worse_picture():
    clip = np.stack([photo(top) for top in range(4)])
    methods = methods_of({"nearest": nearest}, 4)
    clean, worst = (measure_clips([clip], methods, FILMS[name], 4)
                    for name in ("clean", "H.264 CRF 33"))
    assert len(clean.psnr_db[BICUBIC]) == len(clean.flicker_db["nearest"]) == 1
    assert clean.psnr_db[BICUBIC][0] > worst.psnr_db[BICUBIC][0] + 1
    assert clean.steadier_db("nearest") < 0 < clean.flicker_db[BICUBIC][0]


def test_overshoot_is_what_leaves_the_range_of_the_pixels_around():
    lr = step_edge(6, 8)
    assert not overshoot(lr, nearest(lr)).any()
    beyond = nearest(lr).copy()
    beyond[0, 0], beyond[-1, -1] = 64 - 7, 192 + 9
    found = overshoot(lr, beyond)
    assert (found[0, 0], found[-1, -1], np.count_nonzero(found)) == (7, 9, 2)


def test_lanczos_rings_more_than_bicubic_and_nearest_does_not():
    methods = methods_of({"nearest": nearest}, 4)
    found = {name: ringing([step_edge()], enlarge) for name, enlarge in methods.items()}
    assert found[LANCZOS].mean > found[BICUBIC].mean > found["nearest"].mean == 0
    assert found[LANCZOS].greatest > found[BICUBIC].greatest > 0


def test_the_benchmark_prints_a_table_for_every_kind_of_source_and_draws_photos(
        tmp_path, run_python, stills, save_nearest):
    for number in range(3):
        write_image(tmp_path / f"clips/pan/{number}.png", photo(number))
    save_nearest(tmp_path / "weights/elsr_x4.safetensors")
    done = run_python("-c", SCRIPT, "--real", "--benchmarks", tmp_path, "--weights",
                      tmp_path / "weights", "--clips", tmp_path / "clips", "--engine", "numpy",
                      "--json", tmp_path / "real.json", "--plots", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "real.json").read_text())["x4"]
    assert set(found) == {"pictures", "downsamplers", "films", "ringing"}
    for words in ("JPEG q 30", "noise 10", "linear, not antialiased", "H.264 CRF 28", "step edge"):
        assert f"| {words} " in done.stdout
    assert done.stdout.count("### ") == 5
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "real_astronaut.png", "real_chelsea.png", "real_coffee.png"}
