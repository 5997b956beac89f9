"""Figures: what they show, and that they are picture files."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation import figures as report
from elsr_paddle.evaluation.compare import evaluate_image
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.imaging.io import read_image


@pytest.fixture
def drawn(monkeypatch):
    """The figures drawn during a test, for a look at their texts and lines."""
    figures = []
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda figure, path, **_: figures.append(figure) or path.write_bytes(b"a picture"),
    )
    return figures


def texts(figure):
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [artist.get_text() for artist in found if artist.get_text()]


def line(axis, label):
    return next(item for item in axis.lines if item.get_label().startswith(label))


def comparison(height=48, width=64):
    """An HR image and two restorations that differ in one 8x8 block only."""
    hr = np.full((height, width, 3), 100, np.uint8)
    other = hr.copy()
    other[32:40, 40:48] = 200
    return {"LR": hr[::4, ::4], "bicubic": hr.copy(), "ELSR": other, "HR": hr}


def metrics(bicubic_db):
    """Lines of a metrics.jsonl: training every 10 steps, validation every 50."""
    lines = [{"stage": 1, "step": step, "loss": 1 / (step + 1)} for step in range(0, 200, 10)]
    for step in range(0, 200, 50):
        reached = bicubic_db + step / 100
        lines.append({
            "stage": 1, "step": step, "psnr_rgb_db": reached, "psnr_y_db": reached + 2,
            "bicubic_rgb_db": bicubic_db, "bicubic_y_db": bicubic_db + 1.5,
        })  # fmt: skip
    return lines


def test_every_figure_is_a_picture_file_without_leftovers(tmp_path):
    report.still_figure(tmp_path / "still.png", "baby.png", comparison(), {"bicubic": 30.0})
    report.frames_figure(tmp_path / "frames.png", {"bicubic": [30.0, 31.0]})
    report.losses_figure(tmp_path / "losses.png", {1: metrics(30)})
    names = ["frames.png", "losses.png", "still.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all(min(read_image(tmp_path / name).shape[:2]) > 300 for name in names)


def test_a_still_figure_has_the_db_in_its_titles(tmp_path, drawn):
    psnr_db = {"bicubic": 28.416, "ELSR": 29.6}
    report.still_figure(tmp_path / "still.png", "baby.png, x4", comparison(), psnr_db)
    shown = texts(drawn[0])
    for title in ("baby.png, x4", "LR", "bicubic, 28.42 dB", "ELSR, 29.60 dB", "HR"):
        assert title in shown


def test_a_still_figure_enlarges_where_bicubic_and_the_network_differ_most(tmp_path, drawn):
    report.still_figure(tmp_path / "still.png", "title", comparison(), {})
    crop_of_elsr = drawn[0].axes[6].images[0].get_array()  # below the third of four columns
    assert crop_of_elsr.shape == (24, 24, 3)
    assert (crop_of_elsr == 200).all(axis=2).sum() == 64  # the whole block that differs


def test_a_still_figure_shows_the_crop_asked_for_and_the_lr_pixels_enlarged(tmp_path, drawn):
    images = comparison()
    images["LR"] = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    report.still_figure(tmp_path / "still.png", "title", images, {}, crop=(4, 8, 16, 20))
    crop = drawn[0].axes[4].images[0].get_array()
    np.testing.assert_array_equal(crop, images["LR"][1:5, 2:7].repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("crop", [(-1, 0, 8, 8), (0, 0, 49, 8), (0, 60, 8, 8), (0, 0, 0, 8)])
def test_a_still_figure_refuses_a_crop_outside_the_picture(tmp_path, crop):
    with pytest.raises(InputError, match="crop inside 64x48"):
        report.still_figure(tmp_path / "still.png", "title", comparison(), {}, crop=crop)


def test_a_still_figure_needs_something_to_compare(tmp_path):
    with pytest.raises(InputError, match="two images or more"):
        report.still_figure(tmp_path / "still.png", "title", {"HR": comparison()["HR"]}, {})


def test_the_frames_figure_leaves_equal_frames_out_of_line_and_mean(tmp_path, drawn):
    report.frames_figure(tmp_path / "frames.png", {"ELSR": [30.0, float("inf"), 32.0]})
    drawn_line = line(drawn[0].axes[0], "ELSR, mean 31.00 dB")
    np.testing.assert_array_equal(drawn_line.get_ydata(), [30, np.nan, 32])


def test_the_losses_figure_draws_every_stage_against_bicubic(tmp_path, drawn):
    report.losses_figure(tmp_path / "losses.png", {1: metrics(33), "stage 2, x4": metrics(27)})
    first_rgb, second_rgb, second_y = (drawn[0].axes[index] for index in (2, 3, 5))
    assert {"stage 1", "stage 2, x4"} <= set(texts(drawn[0]))
    assert line(first_rgb, "bicubic 33.00").get_ydata()[0] == 33
    np.testing.assert_allclose(line(second_rgb, "best 28.50").get_ydata(), [27, 27.5, 28, 28.5])
    assert line(second_y, "bicubic 28.50")


def test_the_losses_figure_draws_a_stage_that_has_only_begun(tmp_path):
    report.losses_figure(tmp_path / "losses.png", {1: [], 2: [{"step": 1, "loss": 0.5}]})
    assert (tmp_path / "losses.png").exists()


def test_the_losses_figure_says_when_nothing_was_trained(tmp_path):
    with pytest.raises(InputError, match="train one first"):
        report.losses_figure(tmp_path / "losses.png", {})


def test_the_figure_of_an_item_shows_bicubic_and_every_network_with_its_db(
    tmp_path, drawn, noise
):
    networks = {"elsr": lambda lr: lr.repeat(4, 0).repeat(4, 1),
                "elsr-y": lambda lr: noise(48, 64, 3)}  # fmt: skip
    item = evaluate_image(noise(48, 64, 3), networks, EvaluationOptions(4))
    report.item_figure(tmp_path / "item.png", "title", item)
    titles = [axis.get_title() for axis in drawn[0].axes if axis.get_title()]
    assert titles == ["LR", f"bicubic, {item.bicubic_score.psnr_db:.2f} dB",
                      f"ELSR, {item.restored['elsr'].score.psnr_db:.2f} dB",
                      f"ELSR-Y, {item.restored['elsr-y'].score.psnr_db:.2f} dB", "HR"]


def test_the_cost_figure_names_every_method_and_keeps_labels_apart(tmp_path, drawn):
    points = [report.CostPoint("bicubic", None, 26.0),
              report.CostPoint("small", 196_000_000, 27.41),
              report.CostPoint("ours", 195_900_000, 27.38, ours=True),
              report.CostPoint("large", 114_000_000_000, 28.58)]  # fmt: skip
    report.cost_figure(tmp_path / "costs.png", points)
    (axis,) = drawn[0].axes
    assert axis.get_xscale() == "log"
    labels = {label.get_text(): label for label in axis.texts}
    assert set(labels) == {"bicubic", "small", "ours", "large"}
    boxes = [label.get_window_extent() for label in labels.values()]
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # itself
    assert all(axis.bbox.contains(*box.max) and axis.bbox.contains(*box.min) for box in boxes)


def test_a_cost_may_be_a_time_with_lines_that_labels_keep_clear_of(tmp_path, drawn):
    axis = report.CostAxis("milliseconds", FormatStrFormatter("%g"), {"real time": 33.3})
    points = [report.CostPoint("slow", 31, 28.1), report.CostPoint("fast", 2, 27.4, ours=True),
              report.CostPoint("paper", 30, 27.0, as_published=True)]  # fmt: skip
    report.cost_figure(tmp_path / "times.png", points, "title", axis)
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "milliseconds"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "ours", "others, their weights run by us", "others, as published"]
    boxes = [label.get_window_extent() for label in axes.texts]
    assert len(boxes) == 4
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)


def test_the_cost_figure_needs_a_cost(tmp_path):
    with pytest.raises(InputError, match="a method with a cost"):
        report.cost_figure(tmp_path / "costs.png", [report.CostPoint("bicubic", None, 26.0)])
