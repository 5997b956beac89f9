"""Every engine gives the picture of the network, whatever the size, and says why when it cannot."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from elsr_paddle.checkpoint import save_tensors
from elsr_paddle.engines import ENGINES, find_weights, load_engine, loading, make_engine
from elsr_paddle.engines.engine import Engine, spans, tile_shape
from elsr_paddle.errors import InputError
from elsr_paddle.graph import build_graph, evaluate

NETWORKS = [("elsr", 4), ("elsr", 3), ("elsr", 2), ("elsr-y", 4), ("elsr-y", 3), ("elsr-y", 2)]
SIZES = [(1, 1), (1, 7), (7, 1), (33, 47), (181, 323)]
EDGE = 12  # rows and columns of a large picture that are compared, at each of its sides


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Kernels are compiled for these tests, not found in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def engine_or_skip(name, weights, metadata, **options):
    try:
        return make_engine(weights, metadata, engine=name, **options)
    except InputError as error:
        pytest.skip(str(error))


def run(engine, image):
    if engine.channels == 3:
        return engine.upscale(image)
    return engine.upscale_plane(image[..., 0])[..., None]


def assert_within_a_level(restored, expected):
    assert restored.dtype == np.uint8
    assert restored.shape == expected.shape
    assert np.abs(restored - np.rint(expected.clip(0, 255))).max() <= 1


@pytest.mark.parametrize("model, scale", NETWORKS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_reference_within_one_level(name, model, scale, network, noise):
    weights, metadata = network(model, scale=scale)
    engine = engine_or_skip(name, weights, metadata)
    graph = build_graph(weights, metadata)
    for size in SIZES:
        image = noise(*size, graph.channels)
        assert_within_a_level(run(engine, image), reference(graph, image))


def reference(graph, image, known={}):  # noqa: B006
    """`evaluate`, once for all engines."""
    key = graph.shape_key() + str(image.shape)
    if key not in known:
        known[key] = evaluate(graph, image)
    return known[key]


@pytest.mark.parametrize("size", [(540, 960), (1080, 1920)])
@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
@pytest.mark.parametrize("name", ENGINES)
def test_a_large_picture_is_right_at_its_edges_and_in_its_middle(name, model, size, network, noise):
    weights, metadata = network(model, scale=4)
    engine = engine_or_skip(name, weights, metadata)
    graph = build_graph(weights, metadata)
    image = noise(*size, graph.channels)
    restored = run(engine, image)
    height, width = size
    for rows in ((0, EDGE), (height // 2, height // 2 + EDGE), (height - EDGE, height)):
        for columns in ((0, EDGE), (width // 2 - 30, width // 2 + 40), (width - EDGE, width)):
            assert_within_a_level(*window(graph, image, restored, rows, columns))


def window(graph, image, restored, rows, columns):
    """A window of the picture and of the reference, which gets its surroundings to see."""
    radius, scale = graph.radius, graph.scale
    top, left = (max(0, start - radius) for start in (rows[0], columns[0]))
    expected = evaluate(graph, image[top : rows[1] + radius, left : columns[1] + radius])
    inside = [slice(scale * (start - first), scale * (stop - first))
              for (start, stop), first in ((rows, top), (columns, left))]
    outside = [slice(scale * start, scale * stop) for start, stop in (rows, columns)]
    return restored[tuple(outside)], expected[tuple(inside)]


@pytest.mark.parametrize("name", ENGINES)
def test_any_graph_runs_not_only_those_of_today(name, branched, monkeypatch, noise):
    if name == "eager":
        pytest.skip("eager runs the models of Paddle, not graphs")
    monkeypatch.setitem(loading_graphs(), "branched", lambda weights, config: branched.layers)
    engine = engine_or_skip(name, {}, {"model": "branched", "config": {}})
    image = noise(40, 70, 1)
    assert_within_a_level(run(engine, image), evaluate(branched, image))


def loading_graphs():
    from elsr_paddle.graph import GRAPHS

    return GRAPHS


@pytest.mark.parametrize("width", [1, 13, 40])  # 40 channels do not fit the registers at once
def test_the_kernel_runs_at_any_width(width, network, noise):
    weights, metadata = network("elsr", scale=2, width=width)
    engine = engine_or_skip("halide", weights, metadata)
    image = noise(20, 50, 3)
    assert_within_a_level(engine.upscale(image), evaluate(build_graph(weights, metadata), image))


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
@pytest.mark.parametrize("name", ENGINES)
def test_tiles_give_the_untiled_picture_bit_for_bit(name, model, network, noise):
    weights, metadata = network(model, scale=3)
    engine = engine_or_skip(name, weights, metadata)
    image = noise(181, 323, engine.channels)
    whole = run(engine, image)
    assert engine._backend.tile_pixels >= 181 * 323
    for pixels in (500, 2003, 181 * 100):
        engine._backend.tile_pixels = pixels
        assert np.array_equal(run(engine, image), whole)


@pytest.mark.parametrize("length, size, radius",
                         [(100, 30, 4), (31, 30, 3), (30, 30, 4), (9, 9, 0)])
def test_pieces_cover_everything_once_and_keep_their_distance(length, size, radius):
    pieces = list(spans(length, size, radius))
    kept = [index for _, _, first, last in pieces for index in range(first, last)]
    assert kept == list(range(length))
    for start, stop, first, last in pieces:
        assert start % 2 == 0
        assert size - 1 <= stop - start <= size
        assert start == 0 or first - start >= radius
        assert stop == length or stop - last >= radius


def test_tiles_hold_no_more_than_asked_for_unless_the_overlap_would_eat_them():
    assert tile_shape(1080, 1920, 2**16, 4) == (256, 256)
    assert tile_shape(1080, 640, 2**16, 4) == (102, 640)  # stripes of full width
    assert tile_shape(100, 100, 2**16, 4) == (100, 100)
    assert tile_shape(1000, 1000, 1, 4) == (18, 18)


def test_the_number_of_threads_changes_no_bit(network, noise):
    weights, metadata = network("elsr", scale=4)
    pictures = [engine_or_skip("halide", weights, metadata, threads=threads).upscale(
        noise(61, 90, 3)) for threads in (1, 2, 7)]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


def test_two_networks_of_one_shape_share_a_kernel_but_not_their_weights(network, noise):
    weights, metadata = network("elsr", scale=4)
    other = {name: array * 0.5 for name, array in weights.items()}
    image = noise(20, 40, 3)
    for arrays in (weights, other):
        engine = engine_or_skip("halide", arrays, metadata)
        expected = evaluate(build_graph(arrays, metadata), image)
        assert_within_a_level(engine.upscale(image), expected)


def test_views_and_read_only_pictures_are_taken_as_they_are(network, noise):
    weights, metadata = network("elsr-y", scale=2)
    wide = noise(30, 80, 3)
    for name in ENGINES:
        engine = make_engine_if_there(name, weights, metadata)
        plane = wide[:, 3:60, 1]
        plane.flags.writeable = False
        expected = evaluate(build_graph(weights, metadata), plane[..., None])
        assert_within_a_level(engine.upscale_plane(plane)[..., None], expected)


def make_engine_if_there(name, weights, metadata):
    try:
        return make_engine(weights, metadata, engine=name)
    except InputError:
        return make_engine(weights, metadata, engine="eager")


def test_a_network_on_luma_leaves_the_colours_to_bicubic(network, noise):
    weights, metadata = network("elsr-y", scale=2)
    engine = make_engine(weights, metadata, engine="eager")
    gray = np.repeat(noise(12, 15, 1), 3, axis=2)
    restored = engine.upscale(gray).astype(int)
    luma = engine.upscale_plane(gray[..., 0]).astype(int)
    assert restored.shape == (24, 30, 3)
    assert np.abs(restored - luma[..., None]).max() <= 1  # gray stays gray


@pytest.mark.parametrize("image", [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
    np.zeros((0, 4, 3), np.uint8),
])
def test_what_is_no_rgb_picture_is_refused(image, network):
    engine = make_engine(*network("elsr", scale=2), engine="eager")
    with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\)"):
        engine.upscale(image)


def test_a_plane_is_refused_by_a_network_on_rgb(network):
    engine = make_engine(*network("elsr", scale=2), engine="eager")
    with pytest.raises(InputError, match="elsr works on RGB"):
        engine.upscale_plane(np.zeros((4, 4), np.uint8))


def test_a_picture_bomb_is_refused_before_any_memory_is_taken(network):
    engine = make_engine(*network("elsr", scale=4), engine="eager", max_pixels=10_000)
    bomb = np.broadcast_to(np.uint8(0), (10**6, 10**6, 3))
    with pytest.raises(InputError, match="16,000,000,000,000 pixels but max_pixels is 10,000"):
        engine.upscale(bomb)
    assert engine.upscale(bomb[:25, :25]).shape == (100, 100, 3)


def test_auto_takes_the_first_engine_and_says_so(network):
    weights, metadata = network("elsr", scale=4)
    expected = engine_or_skip(next(iter(ENGINES)), weights, metadata)
    engine = make_engine(weights, metadata)
    assert engine.name == expected.name
    assert "fastest of all" in engine.reason


def test_auto_passes_over_an_engine_whose_picture_is_wrong(monkeypatch, network):
    from elsr_paddle.engines.eager_backend import EagerBackend

    class WrongBackend(EagerBackend):
        def run(self, image):
            return super().run(image) ^ 4

    make = loading._backend
    monkeypatch.setattr(loading, "ENGINES", {"wrong": (), "eager": ENGINES["eager"]})
    monkeypatch.setattr(loading, "_backend", lambda name, *arguments: (
        WrongBackend(*arguments) if name == "wrong" else make(name, *arguments)))
    engine = make_engine(*network("elsr", scale=2))
    assert engine.name == "eager"
    assert "wrong: differs from the network by" in engine.reason


@pytest.mark.parametrize("name, package, extra", [
    ("halide", "halide", "fast"), ("openvino", "openvino", "openvino"), ("paddle", "paddle", "cpu"),
    ("openvino", "onnx", "onnx"), ("onnxruntime", "onnxruntime", "onnx"),
])
def test_a_missing_package_is_named_with_its_extra(name, package, extra, tmp_path, saved):
    path = saved("elsr", 4)
    done = python(f"""
        import sys
        sys.modules[{package!r}] = None
        from elsr_paddle.engines import load_engine
        from elsr_paddle.errors import InputError
        try:
            load_engine({str(path)!r}, engine={name!r})
        except InputError as error:
            print(error)
        """)
    assert f"elsr-paddle[{extra}]" in done


@pytest.mark.parametrize("name", ["auto", "halide", "openvino", "onnxruntime"])
def test_upscaling_needs_no_paddle(name, tmp_path, network, saved):
    path = saved("elsr-y", 2)
    if name != "auto":
        engine_or_skip(name, *network("elsr-y", scale=2))
    shape = python(f"""
        import sys
        sys.modules["paddle"] = None
        import numpy as np
        from elsr_paddle.engines import load_engine
        engine = load_engine({str(path)!r}, engine={name!r})
        print(engine.upscale(np.zeros((5, 6, 3), np.uint8)).shape)
        """)
    assert shape == "(10, 12, 3)"


@pytest.fixture
def saved(tmp_path, network):
    """Makes a file of weights: saved("elsr", 4)."""

    def make(model, scale):
        path = tmp_path / f"{model}.safetensors"
        save_tensors(path, *network(model, scale=scale))
        return path

    return make


def python(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=dict(os.environ),
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_engine_loads_from_a_file_and_checks_its_scale(tmp_path, saved):
    path = saved("elsr", 3)
    engine = load_engine(path, engine="eager")
    assert (engine.scale, engine.name, engine.model_name) == (3, "eager", "elsr")
    with pytest.raises(InputError, match="expected weights for x2 but .* holds x3"):
        load_engine(path, scale=2)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path, saved):
    path = saved("elsr", 2)
    with pytest.raises(InputError, match="expected an engine of halide, .* or auto but got 'fast'"):
        load_engine(path, engine="fast")
    with pytest.raises(InputError, match="at least 1 thread but got 0"):
        load_engine(path, threads=0)
    with pytest.raises(InputError, match="shipped network .* but got nonsense at x4"):
        find_weights("nonsense")
    with pytest.raises(FileNotFoundError, match="missing.safetensors"):
        load_engine(tmp_path / "missing.safetensors")


def test_an_engine_is_what_its_backend_is():
    class Backend:
        name, scale, channels, radius, tile_pixels = "none", 2, 3, 4, 100

    engine = Engine(Backend(), model_name="elsr", reason="because")
    assert (engine.name, engine.scale, engine.channels, engine.reason) == ("none", 2, 3, "because")


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "eager"])
def test_an_8k_picture_takes_little_more_memory_than_itself(name, saved, network):
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is read as Linux gives it")
    path = saved("elsr", 4)
    engine_or_skip(name, *network("elsr", scale=4))
    grown = python(f"""
        import resource
        import numpy as np
        from elsr_paddle.engines import load_engine
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        engine = load_engine({str(path)!r}, engine={name!r})
        engine.upscale(np.zeros((32, 32, 3), np.uint8))
        before = peak()
        engine.upscale(np.zeros((1080, 1920, 3), np.uint8))
        print(peak() - before)
        """)
    assert float(grown) < 95 + 100  # MiB; the picture itself has 95
