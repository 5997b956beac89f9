"""Protocols, the bicubic baselines of the field, means, and what becomes of unreadable files."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation import compare as evaluation
from elsr_paddle.evaluation.compare import PROTOCOLS
from elsr_paddle.evaluation.published import PUBLISHED, published
from elsr_paddle.evaluation.tables import benchmark_table, means_table, scores_table
from elsr_paddle.imaging.degrade import make_pair
from elsr_paddle.imaging.io import is_gray_file, list_images, write_image
from elsr_paddle.imaging.luma import rgb_to_y
from elsr_paddle.imaging.metrics import psnr, ssim
from elsr_paddle.imaging.resize import imresize, opencv_cubic
from elsr_paddle.video.read import read_frames


def nearest(scale):
    """An upscaler that needs no training: every pixel repeated."""
    return lambda image: image.repeat(scale, axis=0).repeat(scale, axis=1)


def smooth(height=50, width=67, seed=0):
    """An image with some detail, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return imresize(coarse, size=(height, width))


def evaluate(hr, protocol="y", **options):
    options = {"scale": 4, "protocol": PROTOCOLS[protocol], **options}
    return evaluation.evaluate_image(hr, {"elsr": nearest(options["scale"])}, **options)


def test_protocol_y_is_luma_in_whole_levels_without_a_border_of_scale_pixels():
    hr = smooth(48, 64)
    item = evaluate(hr)
    bicubic = imresize(make_pair(hr, 4)[0], size=(48, 64))
    luma = np.rint(rgb_to_y(hr)), rgb_to_y(bicubic)
    assert item.bicubic_score.psnr_db == psnr(*luma, crop_border=4)
    assert item.bicubic_score.ssim == ssim(*luma, crop_border=4)
    luma = luma[0], rgb_to_y(nearest(4)(make_pair(hr, 4)[0]))
    assert item.restored["elsr"].score.psnr_db == psnr(*luma, crop_border=4)


def test_protocol_rgb_counts_every_pixel_of_every_channel():
    hr = smooth(48, 64)
    item = evaluate(hr, "rgb")
    assert item.bicubic_score.psnr_db == psnr(hr, imresize(make_pair(hr, 4)[0], size=(48, 64)))


def test_protocol_port_shrinks_and_enlarges_with_opencvs_cubic():
    hr = smooth(48, 64)
    item = evaluate(hr, "port")
    bicubic = opencv_cubic(opencv_cubic(hr, (12, 16)), (48, 64))
    assert np.array_equal(item.bicubic, bicubic)
    assert item.bicubic_score.psnr_db == psnr(hr, bicubic)


def test_a_network_against_bicubic_is_a_column_of_its_own():
    item = evaluate(smooth(), "rgb")
    restored = item.restored["elsr"]
    assert restored.against_bicubic_db == psnr(item.bicubic, restored.image)


def test_several_networks_stand_side_by_side_in_a_record():
    hr = smooth()
    networks = {"one": nearest(4), "two": lambda lr: imresize(lr, scale=4)}
    record = evaluation.evaluate_image(
        hr, networks, scale=4, protocol=PROTOCOLS["rgb"]
    ).record()
    assert list(record) == ["name", "width", "height", "bicubic", "one", "two"]
    assert record["two"]["psnr_db"] == record["bicubic"]["psnr_db"] != record["one"]["psnr_db"]
    assert record["two"]["psnr_against_bicubic_db"] == math.inf


def test_odd_sizes_are_cropped_to_a_multiple_of_the_scale():
    for scale in (2, 3, 4):
        item = evaluate(smooth(51, 67), scale=scale)
        expected = (51 // scale * scale, 67 // scale * scale, 3)
        restored = item.restored["elsr"].image
        assert item.hr.shape == restored.shape == item.bicubic.shape == expected


def test_a_given_lr_image_is_used_and_its_size_checked():
    hr = smooth(48, 64)
    lr = np.zeros((12, 16, 3), np.uint8)
    assert not evaluate(hr, lr=lr).bicubic.any()
    with pytest.raises(InputError, match="LR image of 16x12.*16x13"):
        evaluate(hr, lr=np.zeros((13, 16, 3), np.uint8))


def test_an_upscaler_of_another_scale_is_refused():
    with pytest.raises(InputError, match="does the scale fit"):
        evaluation.evaluate_image(smooth(), {"elsr": nearest(2)}, scale=4, protocol=PROTOCOLS["y"])


def test_y_of_a_gray_file_is_its_gray_value(tmp_path):
    gray = smooth(48, 64)[..., 0]
    Image.fromarray(gray).save(tmp_path / "a.png")
    (item,) = evaluation.evaluate_stills(
        [evaluation.Still("a", tmp_path / "a.png")],
        {"elsr": nearest(4)}, scale=4, protocol=PROTOCOLS["y"], on_error=pytest.fail,
    )  # fmt: skip
    expected = psnr(gray, item.bicubic[..., 0], crop_border=4)
    assert item.bicubic_score.psnr_db == pytest.approx(expected)


def test_unreadable_and_unfit_files_are_named_and_the_rest_goes_on(tmp_path):
    write_image(tmp_path / "good.png", smooth())
    write_image(tmp_path / "tiny.png", smooth(12, 12))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    errors = []
    stills = evaluation.find_stills([tmp_path, tmp_path / "none.png"], errors.append)
    items = list(evaluation.evaluate_stills(
        stills, {"elsr": nearest(4)}, scale=4, protocol=PROTOCOLS["y"], on_error=errors.append,
    ))  # fmt: skip
    assert [item.name for item in items] == ["good.png"]
    told = " ".join(map(str, errors))
    assert len(errors) == 3
    assert all(name in told for name in ("bad.png", "tiny.png", "none.png"))


def test_a_clip_goes_on_after_a_frame_that_is_too_small():
    errors = []
    frames = [(0, smooth()), (4, smooth(12, 12)), (8, smooth())]
    items = list(evaluation.evaluate_frames(
        frames, {"elsr": nearest(4)}, scale=4, protocol=PROTOCOLS["y"], on_error=errors.append,
    ))  # fmt: skip
    assert [item.name for item in items] == ["0", "8"]
    assert len(errors) == 1 and "frame 4" in str(errors[0])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for clip in ("one", "two"):
        write_image(tmp_path / clip / "00000000.png", smooth())
    stills = evaluation.find_stills([tmp_path / "one", tmp_path / "two"], pytest.fail)
    assert [still.name for still in stills] == ["one/00000000.png", "two/00000000.png"]
    twice = evaluation.find_stills([tmp_path / "one", tmp_path / "one"], pytest.fail)
    assert [still.name for still in twice] == ["00000000.png"]


def test_benchmark_sets_are_found_with_their_lr_files(tmp_path):
    for name in ("B/HR/b10.png", "B/HR/b9.png", "A/HR/a.png", "A/LR_bicubic/X4/ax4.png", "C/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sets = evaluation.find_sets(tmp_path, 4)
    assert list(sets) == ["A", "B"]
    assert [still.name for still in sets["B"]] == ["b9.png", "b10.png"]
    assert sets["A"][0].lr_path == tmp_path / "A/LR_bicubic/X4/ax4.png"
    assert evaluation.find_sets(tmp_path, 3)["A"][0].lr_path is None
    assert evaluation.find_sets(tmp_path, 4, given_lr=False)["A"][0].lr_path is None
    assert list(evaluation.find_sets(tmp_path / "A", 4)) == ["A"]
    with pytest.raises(InputError, match="no benchmark set"):
        evaluation.find_sets(tmp_path / "C", 4)


def record(bicubic_db, sr_db):
    return {
        "name": "x",
        "bicubic": {"psnr_db": bicubic_db, "ssim": 0.5},
        "elsr": {"psnr_db": sr_db, "ssim": 0.75, "psnr_against_bicubic_db": 40.0},
    }


def test_the_mean_is_that_of_the_pictures_decibels():
    """Not the PSNR of a pooled error, which the worst picture would rule."""
    mean = evaluation.summary([record(20.0, 21.0), record(40.0, 43.0)])["mean"]
    assert mean["bicubic"]["psnr_db"] == 30 and mean["elsr"]["psnr_db"] == 32
    assert mean["elsr"]["ssim"] == 0.75


def test_a_picture_that_one_method_restores_exactly_leaves_every_mean():
    """A black frame is infinitely good for bicubic: no mean, and no fair comparison, with it."""
    mean = evaluation.summary([record(20.0, 21.0), record(math.inf, 60.0)])["mean"]
    assert mean["bicubic"]["psnr_db"] == 20 and mean["elsr"]["psnr_db"] == 21
    mean = evaluation.summary([record(math.inf, math.inf)])["mean"]
    assert mean["bicubic"]["psnr_db"] == mean["elsr"]["psnr_db"] == math.inf


def test_infinite_psnr_is_null_in_json_and_inf_in_csv(tmp_path):
    black = evaluate(np.zeros((48, 64, 3), np.uint8)).record()
    evaluation.write_json(tmp_path / "a.json", evaluation.summary([black]))
    text = (tmp_path / "a.json").read_text()
    figures = json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    assert figures["items"][0]["bicubic"] == {"psnr_db": None, "ssim": 1.0}
    evaluation.write_csv(tmp_path / "a.csv", [black])
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["elsr_psnr_db"] == "inf" and row["width"] == "64"


def test_json_has_the_figures_of_the_table(tmp_path):
    records = [evaluate(smooth(seed=seed), name=str(seed)).record() for seed in (1, 2)]
    figures = evaluation.summary(records)
    evaluation.write_json(tmp_path / "a.json", figures)
    found = json.loads((tmp_path / "a.json").read_text())
    assert set(found) == {"mean", "items"} and set(found["mean"]) == {"bicubic", "elsr"}
    assert found["mean"]["elsr"]["psnr_db"] == np.mean([r["elsr"]["psnr_db"] for r in records])
    table = scores_table(figures, "elsr")
    for row in (*found["items"], found["mean"]):
        for method in ("bicubic", "elsr"):
            assert f"{row[method]['psnr_db']:.2f}" in table
            assert f"{row[method]['ssim']:.4f}" in table
    assert "mean of 2 frames" in means_table(figures, "elsr")


def test_published_figures_stand_beside_ours_only_where_they_compare():
    sets = {"Set5": evaluation.summary([record(28.0, 29.0)]),
            "Mine": evaluation.summary([record(20.0, 21.0)])}  # fmt: skip
    networks = {"elsr": 3474}
    table = benchmark_table(sets, networks, scale=4, comparable=True)
    assert "EDSR-baseline" in table and "32.09" in table and "arXiv 1707.02921" in table
    assert "EDSR" not in benchmark_table(sets, networks, scale=4, comparable=False)
    assert all(row.source for row in PUBLISHED)
    assert not published(4, ["Mine"])


# The field's tables since SRCNN (arXiv 1501.00092).
FIELD = [
    ("Set5", 2, 33.66), ("Set5", 3, 30.39), ("Set5", 4, 28.42),
    ("Set14", 2, 30.23), ("Set14", 3, 27.54), ("Set14", 4, 26.00),
    ("B100", 4, 25.96),
]  # fmt: skip


@pytest.mark.parametrize(("name", "scale", "expected"), FIELD)
def test_the_bicubic_column_shows_the_published_baselines(name, scale, expected, folder_from):
    root = folder_from("ELSR_BENCHMARKS")
    stills = evaluation.find_sets(root / name, scale)[name]
    found = evaluation.evaluate_stills(
        stills, {}, scale=scale, protocol=PROTOCOLS["y"], on_error=pytest.fail
    )
    mean = np.mean([item.bicubic_score.psnr_db for item in found])
    assert mean == pytest.approx(expected, abs=0.01)


def test_set14s_bridge_is_a_gray_file(folder_from):
    folder = folder_from("ELSR_BENCHMARKS") / "Set14" / "HR"
    assert [path.stem for path in list_images(folder) if is_gray_file(path)] == ["bridge"]


def test_bicubic_on_the_ports_clip_is_29_22_db_in_its_protocol(folder_from):
    """Every 4th of 100 frames, OpenCV cubic, RGB: as measured with the port's own script."""
    clip = folder_from("ELSR_CLIPS") / "reds_320x180"
    found = [
        evaluate(frame, "port", degradation=None).bicubic_score.psnr_db
        for frame in read_frames(clip, every=4)
    ]
    assert len(found) == 25 and np.mean(found) == pytest.approx(29.22, abs=0.005)
