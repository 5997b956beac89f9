"""Speed is measured, never assumed: warmed up, waited for, the median of counted calls."""

import numpy as np
import pytest
from elsr_paddle.models import build_model

from elsr_paddle import framework
from elsr_paddle.evaluation import timing


def test_the_median_leaves_the_warm_up_out(monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 9, 0, 1, 0, 2, 0, 6]))  # seconds of calls and pauses
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    seconds = timing.median_seconds([lambda n=n: calls.append(n) for n in range(6)])
    assert seconds == pytest.approx(2)
    assert calls == list(range(6))


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
def test_the_device_is_waited_for_after_every_call_of_the_network(monkeypatch, model):
    events = []
    monkeypatch.setattr(framework, "synchronize", lambda: events.append("waited"))
    network = build_model({"model": model, "config": {"scale": 4}})
    network.register_forward_post_hook(lambda *called: events.append("called"))
    timing.network_seconds(network, np.zeros((4, 4, 3), np.uint8), runs=2)
    assert events == ["called", "waited"] * (timing.WARM_UP + 2)
