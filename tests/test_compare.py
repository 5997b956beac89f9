"""Comparison with bicubic: what is scored against what, and what becomes of unreadable files."""

import math

import numpy as np
import pytest
from PIL import Image

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.compare import (
    evaluate_frames,
    evaluate_image,
    evaluate_stills,
    mean_psnr,
)
from elsr_paddle.evaluation.protocol import PROTOCOLS, EvaluationOptions, score
from elsr_paddle.evaluation.stills import Still, find_sets, find_stills
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.metrics import psnr
from elsr_paddle.imaging.resize import imresize, opencv_cubic
from elsr_paddle.video.read import read_frames

Y = EvaluationOptions(4)
RGB = EvaluationOptions(4, "rgb")
PORT = EvaluationOptions(4, "port")


def nearest(scale):
    """An upscaler that needs no training: every pixel repeated."""
    return lambda image: image.repeat(scale, axis=0).repeat(scale, axis=1)


ELSR = {"elsr": nearest(4)}


def smooth(height=50, width=67, seed=0):
    """An image with some detail, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return imresize(coarse, size=(height, width))


@pytest.mark.parametrize("options", [Y, RGB], ids=["y", "rgb"])
def test_bicubic_and_the_network_are_scored_against_hr(options):
    hr = smooth(48, 64)
    item = evaluate_image(hr, ELSR, options)
    lr = make_pair(hr, 4)[0]
    expected = score(hr, imresize(lr, size=(48, 64)), options.rules, scale=4)
    assert item.bicubic_score == expected
    expected = score(hr, nearest(4)(lr), options.rules, scale=4)
    found = item.restored["elsr"].score
    assert (found.psnr_db, found.ssim) == (expected.psnr_db, expected.ssim)


def test_protocol_port_shrinks_and_enlarges_with_opencvs_cubic():
    hr = smooth(48, 64)
    item = evaluate_image(hr, ELSR, PORT)
    bicubic = opencv_cubic(opencv_cubic(hr, (12, 16)), (48, 64))
    assert np.array_equal(item.bicubic, bicubic)
    assert item.bicubic_score.psnr_db == psnr(hr, bicubic)


def test_the_degradation_asked_for_goes_before_the_protocols():
    hr = smooth(48, 64)
    item = evaluate_image(hr, ELSR, EvaluationOptions(4, "y", "opencv_cubic"))
    assert np.array_equal(item.lr, opencv_cubic(hr, (12, 16)))


def test_a_network_against_bicubic_is_a_figure_of_its_own():
    item = evaluate_image(smooth(), ELSR, RGB)
    restored = item.restored["elsr"]
    assert restored.score.psnr_against_bicubic_db == psnr(item.bicubic, restored.image)


def test_several_networks_stand_side_by_side_in_a_record():
    networks = {"one": nearest(4), "two": lambda lr: imresize(lr, scale=4)}
    scores = evaluate_image(smooth(), networks, RGB).record().scores
    assert list(scores) == ["bicubic", "one", "two"]
    assert scores["two"].psnr_db == scores["bicubic"].psnr_db != scores["one"].psnr_db
    assert scores["two"].psnr_against_bicubic_db == math.inf


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_odd_sizes_are_cropped_to_a_multiple_of_the_scale(scale):
    item = evaluate_image(smooth(51, 67), {"elsr": nearest(scale)}, EvaluationOptions(scale))
    expected = (51 // scale * scale, 67 // scale * scale, 3)
    assert item.hr.shape == item.restored["elsr"].image.shape == item.bicubic.shape == expected


def test_a_given_lr_image_is_used_and_its_size_checked():
    hr = smooth(48, 64)
    lr = np.zeros((12, 16, 3), np.uint8)
    assert not evaluate_image(hr, ELSR, Y, lr=lr).bicubic.any()
    with pytest.raises(InputError, match="LR image of 16x12.*16x13"):
        evaluate_image(hr, ELSR, Y, lr=np.zeros((13, 16, 3), np.uint8))


def test_an_upscaler_of_another_scale_is_refused():
    with pytest.raises(InputError, match="does the scale fit"):
        evaluate_image(smooth(), {"elsr": nearest(2)}, Y)


def test_a_gray_file_is_scored_by_its_gray_value(tmp_path):
    gray = smooth(48, 64)[..., 0]
    Image.fromarray(gray).save(tmp_path / "a.png")
    (item,) = evaluate_stills([Still("a", tmp_path / "a.png")], ELSR, Y, pytest.fail)
    expected = psnr(gray, item.bicubic[..., 0], crop_border=4)
    assert item.bicubic_score.psnr_db == pytest.approx(expected)


def test_unreadable_and_unfit_files_are_named_and_the_rest_goes_on(tmp_path):
    write_image(tmp_path / "good.png", smooth())
    write_image(tmp_path / "tiny.png", smooth(12, 12))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    errors = []
    stills = find_stills([tmp_path, tmp_path / "none.png"], errors.append)
    items = list(evaluate_stills(stills, ELSR, Y, errors.append))
    assert [item.name for item in items] == ["good.png"]
    told = " ".join(map(str, errors))
    assert len(errors) == 3
    assert all(name in told for name in ("bad.png", "tiny.png", "none.png"))


def test_a_clip_goes_on_after_a_frame_that_is_too_small():
    errors = []
    frames = [(0, smooth()), (4, smooth(12, 12)), (8, smooth())]
    items = list(evaluate_frames(frames, ELSR, Y, errors.append))
    assert [item.name for item in items] == ["0", "8"]
    assert len(errors) == 1 and "frame 4" in str(errors[0])


def test_every_frame_of_a_clip_has_noise_of_its_own():
    noisy = EvaluationOptions(4, "y", "blur_noise")
    frames = [(0, smooth()), (4, smooth())]
    first, second = (item.lr for item in evaluate_frames(frames, ELSR, noisy, pytest.fail))
    assert not np.array_equal(first, second)


class SomePairs:
    """As much of `Pairs` as validation reads; which rows were read is kept."""

    scale = 4

    def __init__(self, count):
        self.read = []
        self._pairs = [make_pair(smooth(48, 64, seed), 4) for seed in range(count)]

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, row):
        self.read.append(int(row))
        return self._pairs[row]


def test_the_mean_psnr_of_pairs_is_that_of_rgb_and_of_y_over_the_rows_asked_for():
    pairs = SomePairs(5)
    found = mean_psnr(nearest(4), pairs, rows=3)
    assert pairs.read == [0, 2, 4]
    for colour in ("rgb", "y"):
        expected = [score(hr, nearest(4)(lr), PROTOCOLS[colour], scale=4).psnr_db
                    for lr, hr in (pairs[row] for row in (0, 2, 4))]  # fmt: skip
        assert found[f"{colour}_db"] == pytest.approx(np.mean(expected))


def test_the_mean_psnr_reads_no_row_twice():
    pairs = SomePairs(2)
    mean_psnr(nearest(4), pairs, rows=10)
    assert pairs.read == [0, 1]


# The field's tables since SRCNN (arXiv 1501.00092).
FIELD = [
    ("Set5", 2, 33.66), ("Set5", 3, 30.39), ("Set5", 4, 28.42),
    ("Set14", 2, 30.23), ("Set14", 3, 27.54), ("Set14", 4, 26.00),
    ("B100", 4, 25.96),
]  # fmt: skip


@pytest.mark.parametrize(("name", "scale", "expected"), FIELD)
def test_the_bicubic_column_shows_the_published_baselines(name, scale, expected, folder_from):
    stills = find_sets(folder_from("ELSR_BENCHMARKS") / name, scale)[name]
    found = evaluate_stills(stills, {}, EvaluationOptions(scale), pytest.fail)
    mean = np.mean([item.bicubic_score.psnr_db for item in found])
    assert mean == pytest.approx(expected, abs=0.01)


def test_bicubic_on_the_ports_clip_is_29_22_db_in_its_protocol(folder_from):
    """Every 4th of 100 frames, OpenCV cubic, RGB: as measured with the port's own script."""
    clip = folder_from("ELSR_CLIPS") / "reds_320x180"
    found = [evaluate_image(frame, {}, PORT).bicubic_score.psnr_db
             for frame in read_frames(clip, every=4)]
    assert len(found) == 25 and np.mean(found) == pytest.approx(29.22, abs=0.005)
