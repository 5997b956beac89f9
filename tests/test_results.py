"""Records, their means, and the files they are written to."""

import csv
import json
import math

import pytest

from elsr_paddle.evaluation.protocol import Score
from elsr_paddle.evaluation.results import (
    NetworkScore,
    Record,
    summarise,
    write_csv,
    write_json,
)


def record(bicubic_db, sr_db):
    scores = {"bicubic": Score(bicubic_db, 0.5), "elsr": NetworkScore(sr_db, 0.75, 40.0)}
    return Record("x", 64, 48, scores)


def means(*records):
    mean = summarise(records).mean
    return mean["bicubic"].psnr_db, mean["elsr"].psnr_db


def test_the_mean_is_that_of_the_pictures_decibels():
    mean = summarise([record(20.0, 21.0), record(40.0, 43.0)]).mean
    assert mean == {"bicubic": Score(30, 0.5), "elsr": NetworkScore(32, 0.75, 40)}


def test_a_picture_equal_for_one_method_counts_for_none():
    assert means(record(20.0, 21.0), record(math.inf, 60.0)) == (20, 21)


def test_a_mean_without_any_finite_picture_is_infinite():
    assert means(record(math.inf, math.inf)) == (math.inf, math.inf)


def test_a_summary_stands_in_json_with_the_methods_beside_the_name(tmp_path):
    write_json(tmp_path / "a.json", {"sets": {"Set5": summarise([record(20.0, 21.0)])}})
    bicubic = {"psnr_db": 20.0, "ssim": 0.5}
    elsr = {"psnr_db": 21.0, "ssim": 0.75, "psnr_against_bicubic_db": 40.0}
    assert json.loads((tmp_path / "a.json").read_text()) == {"sets": {"Set5": {
        "mean": {"bicubic": bicubic, "elsr": elsr},
        "items": [{"name": "x", "width": 64, "height": 48, "bicubic": bicubic, "elsr": elsr}],
    }}}  # fmt: skip


def test_infinite_psnr_is_null_in_json(tmp_path):
    write_json(tmp_path / "a.json", summarise([record(math.inf, 30.0)]).as_dict())
    text = (tmp_path / "a.json").read_text()
    figures = json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    assert figures["items"][0]["bicubic"] == {"psnr_db": None, "ssim": 0.5}


def test_infinite_psnr_is_inf_in_csv(tmp_path):
    write_csv(tmp_path / "a.csv", [record(math.inf, 30.0)])
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {"name": "x", "width": "64", "height": "48", "bicubic_psnr_db": "inf",
                   "bicubic_ssim": "0.5", "elsr_psnr_db": "30.0", "elsr_ssim": "0.75",
                   "elsr_psnr_against_bicubic_db": "40.0"}  # fmt: skip
