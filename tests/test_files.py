"""Files appear whole or not at all; names sort as people count."""

import errno
import os
import stat

import pytest

from elsr_paddle.files import atomic_write, natural_key


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == path.suffix and temporary.parent == path.parent
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_block_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_over_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as left_over:
        left_over.touch()
    left_over.write_text("of a killed process, and longer")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


class _ReadOnlyError(OSError):
    """As PyAV's errors: the name of the file cannot be set."""

    filename = property(lambda self: None)


@pytest.mark.parametrize("kind", [OSError, _ReadOnlyError])
def test_an_error_of_the_file_system_stays_what_it_is(tmp_path, kind):
    path = tmp_path / "a.txt"
    with pytest.raises(kind, match="No space") as caught, atomic_write(path):
        raise kind(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename in (None, str(path))


def test_new_files_have_the_usual_permissions(tmp_path):
    usual, path = tmp_path / "usual", tmp_path / "a.txt"
    usual.touch()
    with atomic_write(path) as temporary:
        temporary.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_frame_10_comes_after_frame_9():
    names = ["f10.png", "f9.png", "F1.png", "f1.png", "f01.png", "10", "9a", ""]
    expected = ["", "9a", "10", "F1.png", "f01.png", "f1.png", "f9.png", "f10.png"]
    assert sorted(names, key=natural_key) == expected
