"""An engine run several times, and in other colour spaces, gives what that means."""

import numpy as np
import pytest

from elsr_paddle.commands import test as stills
from elsr_paddle.commands import variations
from elsr_paddle.commands.enlarge import main as enlarge
from elsr_paddle.engines.choose import ENGINES, make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.colour_spaces import COLOUR_SPACES, upscale_rgb
from elsr_paddle.imaging.io import read_image, write_image
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks import zoo
from elsr_paddle.networks.blended import blended
from elsr_paddle.networks.graph import begin, evaluate
from elsr_paddle.networks.rewrites import at_lr, folded
from elsr_paddle.networks.weights import read


def numpy_engine(trained, **options):
    return make_engine(trained, EngineOptions("numpy", **options))


def nearest(plane):
    return plane.repeat(2, 0).repeat(2, 1)


def test_a_self_ensemble_is_the_mean_of_the_eight_pictures(trained, noise):
    made = trained("elsr", scale=2)
    image = noise(7, 10, 3)
    pictures = []
    for turns in range(4):
        for mirrored in (False, True):
            given = np.rot90(image, turns)
            given = np.fliplr(given) if mirrored else given
            given = np.rint(evaluate(made.graph, np.ascontiguousarray(given)).clip(0, 255))
            given = np.fliplr(given) if mirrored else given
            pictures.append(np.rot90(given, -turns))
    restored = numpy_engine(made, self_ensemble=True).upscale(image)
    assert np.abs(restored - np.mean(pictures, axis=0)).max() <= 1


def test_a_self_ensemble_turns_with_the_picture(trained, noise):
    engine = numpy_engine(trained("elsr", scale=3), self_ensemble=True)
    image = noise(6, 9, 3)
    turned = engine.upscale(np.ascontiguousarray(np.rot90(image)))
    assert np.abs(np.rot90(engine.upscale(image)) - turned.astype(int)).max() <= 1


def test_a_self_ensemble_of_a_luma_network_leaves_the_planes_of_video_to_luma(trained, noise):
    engine = numpy_engine(trained("elsr-y", scale=2), self_ensemble=True)
    assert engine.upscale_plane(noise(5, 6, 1)[..., 0]).shape == (10, 12)
    assert engine.luma(np.zeros(4)) is None


def test_two_passes_are_the_network_on_its_own_picture(trained, noise):
    made = trained("elsr", scale=2)
    once, twice = numpy_engine(made), numpy_engine(made, passes=2)
    image = noise(5, 8, 3)
    assert twice.scale == 4
    assert (twice.upscale(image) == once.upscale(once.upscale(image))).all()
    assert twice.fingerprint != once.fingerprint  # films that were begun do not mix them
    with pytest.raises(InputError, match="max_pixels"):
        numpy_engine(made, passes=2, max_pixels=500).upscale(image)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("model", ["elsr", "elsr-y", "srcnn"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_blends_with_bicubic_as_it_is_told(engine, model, strength, trained, noise):
    made = trained(model, scale=2)
    image = noise(13, 18, made.channels)
    try:
        found = make_engine(made, EngineOptions(engine, strength=strength))
    except InputError as error:
        pytest.skip(str(error))
    restored = found.upscale(image) if made.channels == 3 else \
        found.upscale_plane(image[..., 0])[..., None]
    bicubic = imresize(image.astype(float), scale=2)
    expected = strength * evaluate(made.graph, image) + (1 - strength) * bicubic
    inside = np.s_[4:-4, 4:-4]  # imresize mirrors the edges, networks repeat them
    assert np.abs(restored - expected.clip(0, 255))[inside].max() <= 1


def test_a_blend_costs_one_convolution_of_the_input(trained):
    made = trained("elsr-y", scale=4)
    graph = at_lr(folded(blended(made, 0.5).graph))
    assert graph.multiply_adds == made.graph.multiply_adds + 25 * 16
    assert sum(isinstance(node.op, ops.Conv) for node in graph.nodes) == 7


def test_folding_keeps_a_scaled_picture_that_is_read_twice(noise):
    x = begin(1).conv("conv", 4)
    shuffled = x.pixel_shuffle(2)
    graph = (shuffled * 0.5 + shuffled).graph()
    rng = np.random.default_rng(0)
    graph = graph.bind({name: rng.normal(size=shape) for name, shape in graph.parameters().items()})
    image = noise(5, 6, 1)
    np.testing.assert_allclose(evaluate(folded(graph), image), evaluate(graph, image), rtol=1e-5)


def test_engines_of_two_strengths_have_two_fingerprints(trained):
    made = trained("elsr-y", scale=2)
    assert len({numpy_engine(made, strength=strength).fingerprint for strength in (1, 0.5, 0)}) == 3


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_beyond_its_range_is_refused(strength, trained):
    with pytest.raises(InputError, match="strength from 0 to 1"):
        numpy_engine(trained("elsr"), strength=strength)


def test_the_flag_offers_every_colour_space():
    assert set(variations.COLOUR_SPACES) == set(COLOUR_SPACES)


@pytest.mark.parametrize("space", COLOUR_SPACES)
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (12, 200, 143),
                                    (255, 255, 255), (0, 0, 0), (128, 64, 250), (250, 130, 5)])
def test_a_flat_picture_keeps_its_colour_within_a_level(space, colour):
    flat = np.broadcast_to(np.uint8(colour), (9, 11, 3))
    restored = COLOUR_SPACES[space](np.ascontiguousarray(flat), nearest)
    assert restored.shape == (18, 22, 3) and restored.dtype == np.uint8
    assert np.abs(restored.astype(int) - colour).max() <= 1


def test_every_colour_comes_back_from_yuv_within_a_level():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, len(levels), 3)
    restored = COLOUR_SPACES["yuv"](colours, lambda plane: plane)
    assert np.abs(restored.astype(int) - colours).max() <= 1


def test_in_rgb_each_plane_goes_through_the_network(trained, noise):
    engine = numpy_engine(trained("elsr-y", scale=2), colour_space="rgb")
    image = noise(6, 7, 3)
    expected = [engine.upscale_plane(image[..., channel]) for channel in range(3)]
    assert (engine.upscale(image) == np.stack(expected, -1)).all()
    assert (upscale_rgb(image, nearest) == image.repeat(2, 0).repeat(2, 1)).all()


def test_a_colour_space_is_refused_for_a_network_on_rgb(trained):
    with pytest.raises(InputError, match="network on luma for the colour space yuv but elsr"):
        numpy_engine(trained("elsr"), colour_space="yuv")


def test_the_command_enlarges_twice_and_with_an_ensemble(tmp_path, noise):
    write_image(tmp_path / "in.png", noise(12, 10, 3))
    engine = numpy_engine(read(zoo.find("elsr-y", 2)), passes=2, self_ensemble=True)
    enlarge([str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--engine", "numpy",
             "--model", "elsr-y", "--passes", "2", "--self-ensemble"])
    expected = engine.upscale(noise(12, 10, 3))
    assert (read_image(tmp_path / "out.png") == expected).all()


def test_the_command_takes_a_strength(tmp_path, noise):
    write_image(tmp_path / "in.png", noise(12, 10, 3))
    enlarge([str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--engine", "numpy",
             "--model", "elsr-y", "--scale", "2", "--strength", "0.5"])
    expected = numpy_engine(read(zoo.find("elsr-y", 2)), strength=0.5).upscale(noise(12, 10, 3))
    assert (read_image(tmp_path / "out.png") == expected).all()
    with pytest.raises(InputError, match="share from 0 to 1"):
        enlarge([str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--strength", "2"])


def test_the_test_command_tells_what_two_passes_cost(tmp_path, capsys):
    from skimage.data import astronaut

    write_image(tmp_path / "hr.png", astronaut()[:96, :96])
    shared = [str(tmp_path / "hr.png"), "--engine", "numpy", "--plots", str(tmp_path),
              "--json", str(tmp_path / "found.json")]
    stills.main([*shared, "--model", "elsr-y", "--passes", "2"])
    assert "x4" in capsys.readouterr().out
