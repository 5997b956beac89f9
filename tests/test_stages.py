"""The table of stages: the paper's order, and rows that cannot be wrong."""

from dataclasses import replace

import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.training.stages import STAGES, stage_numbers


def test_the_table_is_the_paper_s_schedule():
    # arXiv 2208.14600: x2 with L1 from scratch, then x4 with L1, then x4 with L2, growing patches.
    rows = [STAGES[number] for number in range(1, 6)]
    assert [row.scale for row in rows] == [2, 4, 4, 4, 4]
    assert [row.loss for row in rows] == ["l1", "l1", "l1", "l2", "l2"]
    assert [row.init_from for row in rows] == [None, 1, 2, 3, 4]
    patches = [row.hr_patch for row in rows]
    assert patches == sorted(patches) and patches[-1] > patches[-2]
    assert rows[-1].learning_rate == min(row.learning_rate for row in rows)


@pytest.mark.parametrize("schedule", ["cosine", "halving"])
def test_the_rate_is_a_function_of_the_step_alone_and_only_falls_after_the_warm_up(schedule):
    stage = replace(STAGES[1], schedule=schedule, steps=1000)
    rates = [stage.learning_rate_at(step) for step in range(1000)]
    assert rates == [stage.learning_rate_at(step) for step in range(1000)]
    warm = rates.index(max(rates))
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    assert max(rates) == pytest.approx(stage.learning_rate, rel=0.03)
    assert 0 < rates[-1] < 0.04 * stage.learning_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [("loss", "l3"), ("schedule", "step"), ("scale", 5), ("hr_patch", 63), ("batch_size", 0),
     ("steps", 0), ("learning_rate", 0.0), ("ema_decay", 1.0), ("expansion", -1)],
)  # fmt: skip
def test_an_impossible_row_is_one_line(field, value):
    with pytest.raises(InputError, match=f"{value}"):
        replace(STAGES[1], **{field: value})


def test_ranges_of_stages():
    assert stage_numbers("3") == [3]
    assert stage_numbers("1..5") == [1, 2, 3, 4, 5]
    for text in ("", "0", "6", "1..6", "5..1", "1-5", "..", "one"):
        with pytest.raises(InputError, match="expected a stage"):
            stage_numbers(text)
