"""The kernels that enlarge colour pictures by their luma give what numpy gives, within a level."""

import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.luma import rgb_to_luma, upscale_by_luma

halide_engine = pytest.importorskip("elsr_paddle.engines.halide_engine", exc_type=InputError)
from elsr_paddle.engines import halide_by_luma, halide_cache, halide_colour  # noqa: E402
from elsr_paddle.engines.halide_by_luma import ByLuma, hl  # noqa: E402

SHAPES = [(1, 32), (1, 41), (2, 64), (3, 65), (37, 53), (181, 323), (50, 1), (5, 7)]
OLDER = {"AVX2": "x86-64-linux-avx-avx2-f16c-fma-sse41", "SSE4.1": "x86-64-linux-sse41"}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Kernels are compiled for these tests, not found in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def by_luma():
    """Makes a ByLuma whose kernels could be compiled."""

    def make(scale, threads=1):
        made = ByLuma(scale, threads)
        if not made.compiled:
            pytest.skip("no C compiler to link a kernel with")
        return made

    return make


def busy(scale):
    """An enlargement that differs from pixel to pixel, reaches both ends and depends on all."""

    def enlarge(plane):
        large = plane.repeat(scale, axis=0).repeat(scale, axis=1)
        return large + np.random.default_rng(1).integers(0, 256, large.shape, dtype=np.uint8)

    return enlarge


def pictures(height, width):
    """Noise, saturated colours, and gray."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise, np.where(noise < 128, 0, 255).astype(np.uint8), noise[..., :1].repeat(3, axis=2)


def assert_as_numpy(run, image, scale):
    expected = upscale_by_luma(image, busy(scale))
    restored = run(image, busy(scale))
    assert restored.shape == expected.shape
    assert restored.dtype == np.uint8
    assert np.abs(restored.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_picture_is_that_of_numpy_within_a_level_at_any_size(scale, by_luma):
    run = by_luma(scale)
    for shape in SHAPES:
        for image in pictures(*shape):
            assert_as_numpy(run, image, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_gray_picture_is_its_luma_bit_for_bit(scale, by_luma):
    gray = pictures(19, 70)[2]
    luma = busy(scale)(gray[..., 0])
    np.testing.assert_array_equal(by_luma(scale)(gray, busy(scale)), luma[..., None].repeat(3, 2))


def test_the_network_gets_the_luma_that_numpy_gives_it(by_luma):
    seen = []
    photo = np.ascontiguousarray(astronaut()[:101, :203])
    by_luma(2)(photo, lambda plane: seen.append(plane) or busy(2)(plane))
    np.testing.assert_array_equal(seen[0], rgb_to_luma(photo))


def test_neither_threads_nor_bands_change_a_bit(by_luma, monkeypatch):
    image = pictures(45, 67)[0]
    expected = by_luma(4)(image, busy(4))
    np.testing.assert_array_equal(by_luma(4, threads=5)(image, busy(4)), expected)
    monkeypatch.setattr(halide_by_luma, "_BAND_BYTES", 7 * 4 * 4 * 67 * 3)  # seven rows
    np.testing.assert_array_equal(by_luma(4)(image, busy(4)), expected)


@pytest.mark.parametrize("target", OLDER.values(), ids=OLDER)
def test_older_processors_get_the_same_picture(target, by_luma, monkeypatch):
    host, older = hl.get_host_target(), hl.Target(target)
    if host.arch != older.arch or host.os != older.os or not host.has_feature(
            hl.TargetFeature.AVX2):
        pytest.skip("compiles for processors of another family")
    image = pictures(21, 73)[0]
    expected = by_luma(3)(image, busy(3))
    monkeypatch.setattr(hl, "get_host_target", lambda: older)
    assert_as_numpy(by_luma(3), image, 3)
    np.testing.assert_array_equal(by_luma(3)(image, busy(3)), expected)


def test_without_a_compiler_numpy_does_the_work(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(halide_cache, "COMPILERS", ())
    run, image = ByLuma(2, 1), pictures(12, 40)[0]
    assert not run.compiled
    np.testing.assert_array_equal(run(image, busy(2)), upscale_by_luma(image, busy(2)))


def test_a_picture_narrower_than_a_vector_is_numpys(by_luma):
    image = pictures(9, halide_colour.lanes(hl.get_host_target()) - 1)[0]
    np.testing.assert_array_equal(by_luma(4)(image, busy(4)), upscale_by_luma(image, busy(4)))


def test_the_engine_takes_the_kernels_for_pictures(trained, noise):
    try:
        engine = halide_engine.HalideBackend(trained("elsr-y", scale=2, width=1, depth=1), 1)
    except InputError as error:
        pytest.skip(str(error))
    assert isinstance(engine.upscale_by_luma, ByLuma)
