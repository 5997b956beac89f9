"""Compiled kernels are kept, and whatever in the cache is not as it should be is not trusted."""

import shutil

import numpy as np
import pytest

from elsr_paddle.engines import halide_cache
from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.errors import InputError

halide_engine = pytest.importorskip("elsr_paddle.engines.halide_engine",
                                    exc_type=InputError)
IN_MEMORY = halide_engine.IN_MEMORY


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of kernels of a user who never ran this before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "elsr_paddle" / "kernels"


@pytest.fixture(scope="session")
def smallest(trained):
    """The network whose kernel is compiled soonest."""
    return trained("elsr-y", scale=2, width=1, depth=1)


@pytest.fixture(scope="session")
def upscale(smallest, noise):
    """Gives a picture, and where the kernel came from."""

    def run():
        try:
            engine = make_engine(smallest, EngineOptions("halide", threads=1))
        except InputError as error:
            pytest.skip(str(error))
        return engine.upscale_plane(noise(16, 40)), engine.reason.split(",")[0]

    return run


@pytest.fixture(scope="session")
def first_run(upscale, tmp_path_factory):
    """What one run leaves in an empty cache."""
    folder = tmp_path_factory.mktemp("first_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        if upscale()[1] != "kernel compiled and cached":
            pytest.skip("no C compiler to link a kernel with")
    return folder / "elsr_paddle" / "kernels"


@pytest.fixture
def filled(cache, first_run):
    """The library in the cache of a user who ran this once."""
    shutil.copytree(first_run, cache)
    (library,) = cache.glob("*.so")
    return library


def test_the_second_start_finds_the_kernel_of_the_first(filled, upscale):
    assert upscale()[1] == "kernel from the cache"
    assert sorted(path.suffix for path in filled.parent.iterdir()) == [".sha256", ".so"]
    assert filled.parent.stat().st_mode & 0o777 == 0o700


def rewrite(path, data):
    """Give `path` other contents; the file that this process has loaded stays as it is."""
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o700)


@pytest.mark.parametrize("damage", [
    lambda path: rewrite(path, path.read_bytes()[:1000]),
    lambda path: rewrite(path, path.read_bytes()[:-1] + b"\x7f"),
    lambda path: rewrite(path, b""),
    lambda path: path.with_suffix(".sha256").unlink(),
    lambda path: path.with_suffix(".sha256").write_bytes(b"\xff" * 64),
    lambda path: path.chmod(0o770),  # others of the group may have written to it
], ids=["cut", "changed", "empty", "no digest", "wrong digest", "writable"])
def test_a_damaged_kernel_is_built_anew(filled, damage, upscale):
    picture = upscale()[0]
    damage(filled)
    again, origin = upscale()
    assert origin == "kernel compiled and cached"
    assert np.array_equal(again, picture)
    assert upscale()[1] == "kernel from the cache"


def test_a_kernel_behind_a_link_is_not_trusted(filled, tmp_path, upscale):
    elsewhere = tmp_path / "planted.so"
    filled.replace(elsewhere)
    filled.symlink_to(elsewhere)
    assert upscale()[1] == "kernel compiled and cached"
    assert not filled.is_symlink()


def test_a_cache_that_others_may_write_to_is_left_alone(filled, upscale):
    filled.parent.chmod(0o777)
    assert upscale()[1] == IN_MEMORY


def test_without_a_linker_the_kernel_is_compiled_in_memory(
    cache, monkeypatch, upscale, smallest, noise
):
    monkeypatch.setattr(halide_cache, "COMPILERS", ("no-such-compiler",))
    picture, origin = upscale()
    assert origin == IN_MEMORY
    assert not list(cache.iterdir())
    monkeypatch.undo()
    reference = make_engine(smallest, EngineOptions("numpy")).upscale_plane(noise(16, 40))
    assert np.abs(picture.astype(int) - reference).max() <= 1


def test_a_failing_linker_leaves_nothing_behind(cache, monkeypatch, upscale):
    monkeypatch.setattr(halide_cache, "COMPILERS", ("false",))
    assert upscale()[1] == IN_MEMORY
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_made_is_no_reason_to_fail(tmp_path, monkeypatch, upscale):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert upscale()[1] == IN_MEMORY
