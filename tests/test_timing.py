"""Speed is measured, never assumed: warmed up, waited for, the median of counted calls."""

import numpy as np
import pytest

from elsr_paddle import framework
from elsr_paddle.evaluation import timing
from elsr_paddle.evaluation.timing import Timed
from elsr_paddle.networks.paddle_layer import load_model


def test_the_median_leaves_the_warm_up_out(monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 9, 0, 1, 0, 2, 0, 6]))  # seconds of calls and pauses
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    seconds = timing.median_seconds([lambda n=n: calls.append(n) for n in range(6)])
    assert seconds == pytest.approx(2)
    assert calls == list(range(6))


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
def test_the_device_is_waited_for_after_every_call_of_the_network(monkeypatch, model, trained):
    events = []
    monkeypatch.setattr(framework, "synchronize", lambda: events.append("waited"))
    network = load_model(trained(model, scale=4))
    network.register_forward_post_hook(lambda *called: events.append("called"))
    timing.network_seconds(network, np.zeros((4, 4, 3), np.uint8), runs=2, device="cpu")
    assert events == ["called", "waited"] * (timing.WARM_UP + 2)


def test_a_speed_stands_in_json_with_frames_per_second():
    assert Timed(0.25, 20).as_dict() == {"median_seconds": 0.25, "fps": 4, "frames": 20}


def test_speed_is_measured_of_the_network_of_images_and_of_files(trained):
    network = load_model(trained("elsr", scale=2))
    frames = [np.zeros((4, 6, 3), np.uint8)] * 2
    speed = timing.measure(network, lambda lr: lr.repeat(2, 0).repeat(2, 1), frames, "cpu")
    assert (speed.lr_height, speed.lr_width) == (4, 6)
    for timed in (speed.network, speed.image_to_image, speed.file_to_file):
        assert timed.frames == 2 and timed.median_seconds > 0
