"""Overlapping stages: order, bounds, errors and leaving early."""

import threading
import time

import pytest

from elsr_paddle.threads import ahead


def test_items_come_in_order_through_two_stages():
    assert list(ahead((2 * item for item in ahead(range(100), 3)), 2)) == list(range(0, 200, 2))


def test_a_stage_runs_ahead_by_no_more_than_its_depth():
    made = []

    def items():
        for number in range(50):
            made.append(number)
            yield number

    stage = ahead(items(), 3)
    assert next(stage) == 0
    time.sleep(0.3)  # long enough for a thread without bound to make all fifty
    assert len(made) <= 1 + 3 + 1  # taken, waiting, and the one in hand
    stage.close()


def test_an_error_in_a_stage_is_raised_where_its_items_are_used():
    def items():
        yield 1
        raise RuntimeError("the third stage of grief")

    with pytest.raises(RuntimeError, match="grief"):
        list(ahead(ahead(items(), 1), 1))


def test_leaving_early_ends_the_threads_and_closes_what_they_read():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    before = threading.active_count()
    stage = ahead(ahead(items(), 2), 2)
    next(stage)
    stage.close()
    assert closed and closed[0] != threading.main_thread().name
    assert threading.active_count() == before
