"""Tables of text: what they say, that they are Markdown, and that they need no matplotlib."""

import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.inspection import ValueRange
from elsr_paddle.evaluation.protocol import Score
from elsr_paddle.evaluation.results import NetworkScore, Record, summarise
from elsr_paddle.evaluation.tables import (
    benchmark_table,
    clips_table,
    means_table,
    ranges_table,
    scores_table,
    speed_table,
    table,
)
from elsr_paddle.evaluation.timing import Speed, Timed


def summary(bicubic_db, sr_db):
    scores = {"bicubic": Score(bicubic_db, 0.51239), "elsr": NetworkScore(sr_db, 0.75, 40.0)}
    return summarise([Record("x.png", 64, 48, scores)])


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_a_table_aligns_its_columns_and_is_markdown():
    text = table(["image", "bicubic"], [["baby.png", 33.909], ["a.png", None]])
    assert text.splitlines() == [
        "| image    | bicubic |",
        "| -------- | ------: |",
        "| baby.png |   33.91 |",
        "| a.png    |       - |",
    ]


def test_a_table_refuses_a_row_of_another_length():
    with pytest.raises(InputError, match="rows of 2 cells"):
        table(["image", "dB"], [["baby.png"]])


def test_scores_have_a_row_for_each_picture_and_their_mean():
    header, _, picture, mean = rows(scores_table(summary(28.0, 29.0), "elsr"))
    assert header == ["picture", "bicubic dB", "SSIM", "ELSR dB", "SSIM", "ELSR vs bicubic dB"]
    assert picture == ["x.png", "28.00", "0.5124", "29.00", "0.7500", "40.00"]
    assert mean == ["mean", *picture[1:]]


def test_a_clip_has_the_mean_of_its_frames_alone():
    *_, mean = rows(means_table(summary(28.0, 29.0), "elsr"))
    assert mean == ["mean of 1 frames", "28.00", "0.5124", "29.00", "0.7500", "40.00", "-", "-"]


def test_published_figures_stand_beside_ours_only_where_they_compare():
    sets = {"Set5": summary(28.0, 29.0), "Mine": summary(20.0, 21.0)}
    found = rows(benchmark_table(sets, {"elsr": 3474}, scale=4, comparable=True))
    assert found[0] == ["x4", "parameters", "Set5", "Mine", "source"]
    assert found[3] == ["ELSR", "3,474", "29.00 / 0.7500", "21.00 / 0.7500", "this run"]
    assert ["EDSR-baseline", "1.5M", "32.09", "-", "arXiv 1707.02921"] in found
    assert "EDSR" not in benchmark_table(sets, {"elsr": 3474}, scale=4, comparable=False)


def test_clips_have_columns_for_networks_and_for_figures_from_elsewhere():
    clips = {"pan": summary(28.0, 29.0), "walk": summary(20.0, 21.0)}
    header, _, *found = rows(clips_table(clips, ["elsr"], [("port", {"pan": 27.5})]))
    assert header == ["clip", "frames", "bicubic", "ELSR", "port"]
    assert found == [["pan", "1", "28.00", "29.00", "27.50"], ["walk", "1", "20.00", "21.00", "-"]]


def test_speed_is_told_in_frames_per_second_with_the_frames_counted():
    speed = Speed(180, 320, Timed(0.01, 20), Timed(0.02, 20), Timed(0.1, 20))
    _, _, network, image, file = rows(speed_table(speed))
    assert network == ["the network alone, tensor to tensor, 320x180 LR", "100.00", "20"]
    assert image[1:] == ["50.00", "20"] and file[1:] == ["10.00", "20"]


def test_ranges_have_a_row_for_each_operation():
    found = ranges_table([ValueRange("sum", None, None, (-0.5, 1.25)),
                          ValueRange("conv", (-1.0, 2.0), (0.0, 0.1), (0.0, 1.0))])  # fmt: skip
    assert rows(found)[2:] == [["sum", "-", "-", "-0.50 .. 1.25"],
                               ["conv", "-1.00 .. 2.00", "0.00 .. 0.10", "0.00 .. 1.00"]]


def test_tables_need_neither_matplotlib_nor_paddle(run_python):
    done = run_python("-c", "import sys; sys.modules['matplotlib'] = sys.modules['paddle'] = None\n"
                      "import elsr_paddle.evaluation.tables")  # fmt: skip
    assert done.returncode == 0, done.stderr
