"""What a network holds, and how exact its engine is."""

import pytest

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.evaluation.inspection import engine_error, value_ranges
from elsr_paddle.networks.weights import read


def test_ranges_are_of_what_the_operations_hold(nearest_weights, noise):
    graph = read(nearest_weights).graph
    pictures = [noise(9, 11, 3) // 2, noise(9, 11, 3)]
    head, _, prelu, _, plus, _, shuffle = value_ranges(graph, pictures)
    assert head.layer == "conv 3x3, 3 to 6"
    assert head.weights == (0, 1) and head.biases == (0, 0)
    assert prelu.weights == (0.25, 0.25) and prelu.biases is None
    assert plus.layer == "sum" and plus.weights is None
    assert shuffle.outputs == (0, 1)  # the brighter noise, repeated


class Inverted:
    """An engine whose pictures are negatives of those it should give."""

    def __init__(self, engine):
        self.channels = engine.channels
        self.upscale = lambda image: 255 - engine.upscale(image)
        self.upscale_plane = lambda plane: 255 - engine.upscale_plane(plane)


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
def test_an_engine_that_is_off_is_found_out(trained, noise, model):
    made = trained(model, scale=2)
    engine = make_engine(made, EngineOptions(engine="numpy"))
    pictures = [noise(9, 11, 3)]
    assert engine_error(made.graph, engine, pictures).levels <= 1
    found = engine_error(made.graph, Inverted(engine), pictures)
    assert found.levels > 1 and found.share > 0.5
