"""A network on RGB that ends in luma, against the definition; and films that go through it."""

import av
import numpy as np
import pytest
from skimage.data import coffee
from video_files import write_video

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.video.colour import Colour, Converter, planes_of


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


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("matrix, full", [(1, False), (6, True)])
def test_luma_is_that_of_the_rgb_picture(engine_of, noise, matrix, full, scale):
    engine, graph = engine_of("elsr", scale)
    weights = Colour(matrix=matrix, primaries=2, transfer=2, full=full, bits=8).from_rgb()[0]
    run = engine.luma(weights)
    for size in ((1, 1), (7, 1), (33, 47), (3, 1603)):
        image = noise(*size, 3)
        expected = evaluate(graph, image) @ weights[:3] + weights[3]
        found = run(image)
        assert found.shape == (scale * size[0], scale * size[1])
        assert np.abs(found - expected.clip(0, 255)).max() <= 1


def test_gray_has_no_colour_and_keeps_its_levels():
    for matrix in (1, 4, 5, 6, 7, 9):
        for full in (False, True):
            colour = Colour(matrix=matrix, primaries=2, transfer=2, full=full, bits=8).from_rgb()
            black, white = ((colour @ [*[level] * 3, 1]) for level in (0, 255))
            np.testing.assert_allclose(black, [0 if full else 16, 128, 128], atol=1e-9)
            np.testing.assert_allclose(white, [255 if full else 235, 128, 128], atol=1e-9)


def test_a_luma_network_goes_another_way(engine_of):
    assert engine_of("elsr-y", 4)[0].luma(np.ones(4)) is None


def test_other_engines_go_another_way(trained):
    try:
        engine = make_engine(trained("elsr"), EngineOptions("onnxruntime"))
    except InputError as error:
        pytest.skip(str(error))
    assert engine.luma(np.ones(4)) is None


@pytest.mark.parametrize("engine", ["halide", "numpy"])
@pytest.mark.parametrize("model, scale", [("elsr", 3), ("elsr", 4), ("elsr-y", 4)])
def test_the_colour_planes_of_a_film_are_bicubics_with_every_network(tmp_path, trained, engine,
                                                                     model, scale):
    if engine == "halide":
        pytest.importorskip("halide")
    photos = [np.ascontiguousarray(coffee()[top:top + 48, 100:164]) for top in (0, 8)]
    source = write_video(tmp_path / "a.mkv", photos, options={"qp": "0"})
    made = make_engine(trained(model, scale=scale), EngineOptions(engine))
    upscaler = Upscaler(lambda _: made, (scale,), Target(scale), 2**24)
    transcode(source, tmp_path / "out.mkv", upscaler, crf=0)  # without loss
    colour = Converter(Colour(matrix=6, primaries=2, transfer=2, full=False, bits=8))
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mkv"), strict=True):
        bicubic = colour.resized(before, 64 * scale, 48 * scale, "yuv420p")
        for ours, theirs in zip(planes_of(after)[1:], planes_of(bicubic)[1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def frames_of(path):
    with av.open(str(path)) as film:
        return list(film.decode(video=0))
