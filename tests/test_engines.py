"""Every engine gives the picture of the network, whatever the size, and says why when it cannot."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from odd_networks import ODD

from elsr_paddle.engines import choose
from elsr_paddle.engines.choose import ENGINES, load_engine, make_engine
from elsr_paddle.engines.engine import Engine, EngineOptions, spans, tile_shape
from elsr_paddle.errors import InputError
from elsr_paddle.networks import build, zoo
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.weights import save_tensors

NETWORKS = [build(model, {"scale": scale}) for model in ("elsr", "elsr-y") for scale in (4, 3, 2)]
NETWORKS += [build("espcn", {"scale": 3}), build("espcn", {"scale": 2, "activation": "gelu"}),
             build("espcn", {"scale": 4, "activation": "relu"})]
SIZES = [(1, 1), (1, 7), (7, 1), (33, 47), (181, 323)]
EDGE = 12  # rows and columns of a large picture that are compared, at each of its sides


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Kernels are compiled for these tests, not found in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def engine_or_skip(name, trained, **options):
    try:
        return make_engine(trained, EngineOptions(name, **options))
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


@pytest.mark.parametrize("network", [*NETWORKS, *ODD], ids=str)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_reference_within_one_level(name, network, trained, noise):
    made = trained(network)
    engine = engine_or_skip(name, made)
    for size in SIZES if network.name.startswith("elsr") else SIZES[:-1]:
        image = noise(*size, network.channels)
        assert_within_a_level(run(engine, image), reference(made.graph, image))


def reference(graph, image, known={}):  # noqa: B006
    """`evaluate`, once for all engines."""
    key = graph.shape_key() + str(image.shape)
    if key not in known:
        known[key] = evaluate(graph, image)
    return known[key]


def test_an_engine_that_lacks_an_operation_names_it(trained):
    pytest.importorskip("halide")
    with pytest.raises(InputError, match="no global pooling"):
        make_engine(trained(ODD[-1]), EngineOptions("halide"))
    assert make_engine(trained(ODD[-1])).name != "halide"  # auto goes on


@pytest.mark.parametrize("size", [(540, 960), (1080, 1920)])
@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
@pytest.mark.parametrize("name", ENGINES)
def test_a_large_picture_is_right_at_its_edges_and_in_its_middle(name, model, size, trained, noise):
    if name == "numpy" and size == (1080, 1920):
        pytest.skip("takes most of a minute, and a tile is a tile")
    made = trained(model, scale=4)
    engine, graph = engine_or_skip(name, made), made.graph
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


@pytest.mark.parametrize("width", [1, 13, 40])  # 40 channels do not fit the registers at once
def test_the_kernel_runs_at_any_width(width, trained, noise):
    made = trained("elsr", scale=2, width=width)
    image = noise(20, 50, 3)
    assert_within_a_level(engine_or_skip("halide", made).upscale(image),
                          evaluate(made.graph, image))


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
@pytest.mark.parametrize("name", ENGINES)
def test_tiles_give_the_untiled_picture_bit_for_bit(name, model, trained, noise):
    engine = engine_or_skip(name, trained(model, scale=3))
    image = noise(181, 323, engine.channels)
    engine._backend.tile_pixels = 2**16
    whole = run(engine, image)
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


def test_the_number_of_threads_changes_no_bit(trained, noise):
    pictures = [engine_or_skip("halide", trained("elsr"), threads=threads).upscale(
        noise(61, 90, 3)) for threads in (1, 2, 7)]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


def test_two_networks_of_one_shape_share_a_kernel_but_not_their_weights(trained, noise):
    made = trained("elsr")
    half = {name: array * 0.5 for name, array in made.graph.arrays.items()}
    image = noise(20, 40, 3)
    for arrays in (made.graph.arrays, half):
        other = replace(made, graph=made.graph.bind(arrays))
        engine = engine_or_skip("halide", other)
        assert_within_a_level(engine.upscale(image), evaluate(other.graph, image))


def test_views_and_read_only_pictures_are_taken_as_they_are(trained, noise):
    made = trained("elsr-y", scale=2)
    wide = noise(30, 80, 3)
    for name in ENGINES:
        engine = make_engine_if_there(name, made)
        plane = wide[:, 3:60, 1]
        plane.flags.writeable = False
        expected = evaluate(made.graph, plane[..., None])
        assert_within_a_level(engine.upscale_plane(plane)[..., None], expected)


def make_engine_if_there(name, trained):
    try:
        return make_engine(trained, EngineOptions(name))
    except InputError:
        return make_engine(trained, EngineOptions("numpy"))


def test_a_network_on_luma_leaves_the_colours_to_bicubic(trained, noise):
    engine = make_engine(trained("elsr-y", scale=2), EngineOptions("numpy"))
    gray = np.repeat(noise(12, 15, 1), 3, axis=2)
    restored = engine.upscale(gray).astype(int)
    luma = engine.upscale_plane(gray[..., 0]).astype(int)
    assert restored.shape == (24, 30, 3)
    assert np.abs(restored - luma[..., None]).max() <= 1  # gray stays gray


@pytest.mark.parametrize("image", [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
    np.zeros((0, 4, 3), np.uint8),
])
def test_what_is_no_rgb_picture_is_refused(image, trained):
    engine = make_engine(trained("elsr", scale=2), EngineOptions("numpy"))
    with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\)"):
        engine.upscale(image)


def test_a_plane_is_refused_by_a_network_on_rgb(trained):
    engine = make_engine(trained("elsr", scale=2), EngineOptions("numpy"))
    with pytest.raises(InputError, match="elsr works on RGB"):
        engine.upscale_plane(np.zeros((4, 4), np.uint8))


def test_a_picture_bomb_is_refused_before_any_memory_is_taken(trained):
    engine = make_engine(trained("elsr"), EngineOptions("numpy", max_pixels=10_000))
    bomb = np.broadcast_to(np.uint8(0), (10**6, 10**6, 3))
    with pytest.raises(InputError, match="16,000,000,000,000 pixels but max_pixels is 10,000"):
        engine.upscale(bomb)
    assert engine.upscale(bomb[:25, :25]).shape == (100, 100, 3)


def test_auto_takes_the_first_engine_and_says_so(trained):
    expected = engine_or_skip(next(iter(ENGINES)), trained("elsr"))
    engine = make_engine(trained("elsr"))
    assert engine.name == expected.name
    assert "fastest of all" in engine.reason
    assert engine.device == "cpu"


class WrongBackend:
    """An engine with a fault that a look at its pictures would hardly show."""

    name, device, note, tile_pixels = "wrong", "cpu", "wrong", 2**20

    def __init__(self, trained, threads=None):
        self._graph = trained.graph

    def run(self, image):
        return np.rint(evaluate(self._graph, image).clip(0, 255)).astype(np.uint8) ^ 4


def test_auto_passes_over_an_engine_whose_picture_is_wrong(monkeypatch, trained):
    make = choose._backend
    monkeypatch.setattr(choose, "ENGINES", {"wrong": (), "numpy": ENGINES["numpy"]})
    monkeypatch.setattr(choose, "_backend", lambda name, made, options: (
        WrongBackend(made) if name == "wrong" else make(name, made, options)))
    engine = make_engine(trained("elsr", scale=2))
    assert engine.name == "numpy"
    assert "wrong: differs from the network by" in engine.reason


def test_a_photo_does_not_wait_for_a_kernel_that_every_start_compiles(monkeypatch, trained):
    pytest.importorskip("halide")
    monkeypatch.setenv("PATH", "")  # no C compiler to keep kernels with
    small = trained("elsr-y", scale=2, width=3)
    engine = make_engine(small, EngineOptions(pixels=640 * 480))
    assert engine.name != "halide"
    assert "with a C compiler (gcc or clang) it does so once" in engine.reason


@pytest.mark.parametrize("name", ["halide", "openvino", "onnxruntime", "numpy"])
def test_an_engine_of_the_cpu_refuses_a_gpu(name, trained):
    with pytest.raises(InputError, match=f"expected the device cpu for the engine {name}"):
        make_engine(trained("elsr"), EngineOptions(name, device="gpu:0"))


@pytest.mark.parametrize("name", ["paddle", "eager"])
def test_an_engine_of_paddle_refuses_a_device_that_is_not_there(name, trained):
    paddle = pytest.importorskip("paddle")
    if paddle.device.is_compiled_with_cuda():
        pytest.skip("there may be a GPU")
    with pytest.raises(InputError, match="expected a device of this machine but got gpu:1"):
        make_engine(trained("elsr"), EngineOptions(name, device="gpu:1"))
    assert make_engine(trained("elsr"), EngineOptions(name, device="cpu")).device == "cpu"


def test_a_network_too_large_for_the_reference_is_not_checked_by_it(trained, monkeypatch):
    large = trained("espcn", scale=4, activation="relu")
    monkeypatch.setattr(choose, "_CHECKED", 1e6)
    monkeypatch.setattr(choose, "evaluate", lambda *_: pytest.fail("the reference ran"))
    assert make_engine(large, EngineOptions("auto")).scale == 4


@pytest.mark.parametrize("name, package, remedy", [
    ("halide", "halide", "pip install halide"),
    ("openvino", "openvino", "elsr-paddle[openvino]"), ("openvino", "onnx", "elsr-paddle[onnx]"),
    ("paddle", "paddle", "elsr-paddle[cpu]"),
    ("onnxruntime", "onnxruntime", "elsr-paddle[onnx]"),
])  # fmt: skip
def test_a_missing_package_is_named_with_its_remedy(name, package, remedy, saved):
    path = saved("elsr", 4)
    done = python(f"""
        import sys
        sys.modules[{package!r}] = None
        from elsr_paddle.engines.choose import load_engine
        from elsr_paddle.errors import InputError
        try:
            load_engine({str(path)!r}, engine={name!r})
        except InputError as error:
            print(error)
        """)
    assert remedy in done


@pytest.mark.parametrize("name", ["auto", "halide", "openvino", "onnxruntime", "numpy"])
def test_enlarging_needs_no_paddle(name, trained, saved):
    path = saved("elsr-y", 2)
    if name != "auto":
        engine_or_skip(name, trained("elsr-y", scale=2))
    shape = python(f"""
        import sys
        sys.modules["paddle"] = None
        import numpy as np
        from elsr_paddle.engines.choose import load_engine
        engine = load_engine({str(path)!r}, engine={name!r})
        print(engine.upscale(np.zeros((5, 6, 3), np.uint8)).shape)
        """)
    assert shape == "(10, 12, 3)"


@pytest.fixture
def saved(tmp_path, trained):
    """Makes a file of weights: saved("elsr", 4)."""

    def make(model, scale):
        path = tmp_path / f"{model}.safetensors"
        made = trained(model, scale=scale)
        save_tensors(path, made.graph.arrays, made.metadata)
        return path

    return make


def python(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=dict(os.environ),
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_engine_loads_from_a_file_and_checks_its_scale(tmp_path, saved):
    path = saved("elsr", 3)
    engine = load_engine(path, engine="numpy")
    assert (engine.scale, engine.name, engine.model_name) == (3, "numpy", "elsr")
    with pytest.raises(InputError, match="expected weights for x2 but .* holds x3"):
        load_engine(path, scale=2)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path, saved):
    path = saved("elsr", 2)
    with pytest.raises(InputError, match="expected an engine of halide, .* or auto but got 'fast'"):
        load_engine(path, engine="fast")
    with pytest.raises(InputError, match="at least 1 thread but got 0"):
        load_engine(path, threads=0)
    with pytest.raises(InputError, match="that ships .* but got nonsense x4"):
        zoo.find("nonsense")
    with pytest.raises(FileNotFoundError, match="missing.safetensors"):
        load_engine(tmp_path / "missing.safetensors")


def test_an_engine_is_what_its_backend_and_its_network_are(trained):
    class Backend:
        name, device, tile_pixels = "none", "gpu:1", 100

    engine = Engine(Backend(), trained("elsr", scale=2), reason="because")
    assert (engine.name, engine.device, engine.reason) == ("none", "gpu:1", "because")
    assert (engine.scale, engine.channels, engine.model_name) == (2, 3, "elsr")


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "eager"])
def test_an_8k_picture_takes_little_more_memory_than_itself(name, saved, trained):
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is read as Linux gives it")
    path = saved("elsr", 4)
    engine_or_skip(name, trained("elsr"))
    grown = python(f"""
        import resource
        import numpy as np
        from elsr_paddle.engines.choose import load_engine
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        engine = load_engine({str(path)!r}, engine={name!r})
        engine.upscale(np.zeros((32, 32, 3), np.uint8))
        before = peak()
        engine.upscale(np.zeros((1080, 1920, 3), np.uint8))
        print(peak() - before)
        """)
    assert float(grown) < 95 + 100  # MiB; the picture itself has 95
