"""Stills: which files a folder or a benchmark set means, and how they are called."""

import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.stills import find_sets, find_stills
from elsr_paddle.imaging.io import is_gray_file, list_images, write_image


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for clip in ("one", "two"):
        write_image(tmp_path / clip / "00000000.png", np.zeros((8, 8, 3), np.uint8))
    stills = find_stills([tmp_path / "one", tmp_path / "two"], pytest.fail)
    assert [still.name for still in stills] == ["one/00000000.png", "two/00000000.png"]
    twice = find_stills([tmp_path / "one", tmp_path / "one"], pytest.fail)
    assert [still.name for still in twice] == ["00000000.png"]


def test_a_folder_without_pictures_is_reported(tmp_path):
    errors = []
    assert find_stills([tmp_path], errors.append) == []
    assert str(tmp_path) in str(errors[0])


@pytest.fixture
def sets(tmp_path):
    for name in ("B/HR/b10.png", "B/HR/b9.png", "A/HR/a.png", "A/LR_bicubic/X4/ax4.png", "C/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_benchmark_sets_are_found_in_natural_order(sets):
    found = find_sets(sets, 4)
    assert list(found) == ["A", "B"]
    assert [still.name for still in found["B"]] == ["b9.png", "b10.png"]
    assert list(find_sets(sets / "A", 4)) == ["A"]


def test_lr_files_of_the_scale_are_used_unless_lr_is_to_be_made(sets):
    assert find_sets(sets, 4)["A"][0].lr_path == sets / "A/LR_bicubic/X4/ax4.png"
    assert find_sets(sets, 3)["A"][0].lr_path is None
    assert find_sets(sets, 4, given_lr=False)["A"][0].lr_path is None


def test_a_folder_that_holds_no_set_is_refused(sets):
    with pytest.raises(InputError, match="no benchmark set"):
        find_sets(sets / "C", 4)


def test_set14s_bridge_is_a_gray_file(folder_from):
    folder = folder_from("ELSR_BENCHMARKS") / "Set14" / "HR"
    assert [path.stem for path in list_images(folder) if is_gray_file(path)] == ["bridge"]
