"""A network on RGB that ends in the planes of 4:2:0 video, against the definition."""

import numpy as np
import pytest

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.video.colour import Colour, frame_of_rows, planes_of


@pytest.fixture
def engine_of(trained):
    pytest.importorskip("halide", reason="needs the engine that can do it")

    def make(name, scale):
        made = trained(name, scale=scale)
        engine = make_engine(made, EngineOptions("halide"))
        if "memory" in engine.reason:
            pytest.skip("no linker: a second kernel is not worth its compilation")
        return engine, made.graph

    return make


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("matrix, full", [(1, False), (6, True)])
def test_planes_are_those_of_the_rgb_picture(engine_of, noise, matrix, full, scale, left):
    engine, graph = engine_of("elsr", scale)
    colour = Colour(matrix=matrix, primaries=2, transfer=2, full=full, bits=8).from_rgb()
    run = engine.yuv420(colour, left)
    for size in ((1, 1), (7, 1), (33, 47), (3, 1603)):
        image = noise(*size, 3)
        planes = evaluate(graph, image) @ colour[:, :3].T + colour[:, 3]
        rows = (planes[0::2, :, 1:] + planes[1::2, :, 1:]) / 2
        chroma = rows[:, 0::2] if left else (rows[:, 0::2] + rows[:, 1::2]) / 2
        expected = planes[..., 0], chroma[..., 0], chroma[..., 1]
        for plane, values in zip(planes_of(frame_of_rows(run(image), scale)), expected):
            assert np.abs(plane - values.clip(0, 255)).max() <= 1


def test_gray_has_no_colour_and_keeps_its_levels():
    for matrix in (1, 4, 5, 6, 7, 9):
        for full in (False, True):
            colour = Colour(matrix=matrix, primaries=2, transfer=2, full=full, bits=8).from_rgb()
            black, white = ((colour @ [*[level] * 3, 1]) for level in (0, 255))
            np.testing.assert_allclose(black, [0 if full else 16, 128, 128], atol=1e-9)
            np.testing.assert_allclose(white, [255 if full else 235, 128, 128], atol=1e-9)


@pytest.mark.parametrize("name, scale", [("elsr", 3), ("elsr-y", 4)])
def test_an_odd_scale_and_a_luma_network_go_another_way(engine_of, name, scale):
    assert engine_of(name, scale)[0].yuv420(np.eye(3, 4), True) is None


def test_other_engines_go_another_way(trained):
    try:
        engine = make_engine(trained("elsr"), EngineOptions("onnxruntime"))
    except InputError as error:
        pytest.skip(str(error))
    assert engine.yuv420(np.eye(3, 4), True) is None
