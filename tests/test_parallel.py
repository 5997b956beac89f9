"""Work ahead of the caller: in order, bounded, stoppable."""

import threading
import time

import pytest

from elsr_paddle.threads import ordered_map


def test_results_come_in_the_order_of_the_items():
    def slow_at_first(i):
        time.sleep(0.02 if i < 3 else 0)
        return i * i

    assert list(ordered_map(slow_at_first, range(20), workers=4)) == [i * i for i in range(20)]


def test_items_are_drawn_no_further_ahead_than_told():
    drawn = []
    results = ordered_map(lambda i: i, (drawn.append(i) or i for i in range(50)), workers=2)
    for done, _ in enumerate(results, start=1):
        assert len(drawn) - done <= 4


def test_heavy_items_go_one_at_a_time_and_light_ones_together():
    under_way, most = set(), []
    lock = threading.Lock()

    def work(weight):
        with lock:
            under_way.add(threading.get_ident())
            most.append((weight, len(under_way)))
        time.sleep(0.01)
        with lock:
            under_way.discard(threading.get_ident())

    list(ordered_map(work, [1] * 8 + [10] * 4, workers=4, weight=lambda w: w, budget=4))
    assert max(count for weight, count in most if weight == 1) > 1
    assert max(count for weight, count in most if weight == 10) == 1


def test_an_error_is_raised_at_its_items_turn_and_stops_the_threads():
    before = threading.active_count()
    results = ordered_map(lambda i: 1 // (3 - i), range(100), workers=2)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before
