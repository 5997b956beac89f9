"""A package that is missing is one line that says how to get it."""

import sys

import pytest

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.errors import InputError, needs
from elsr_paddle.imaging.resize import opencv_cubic


def test_a_module_that_is_there_is_returned():
    assert needs("json", extra="none") is sys.modules["json"]


def test_a_module_that_is_missing_is_named_with_the_extra_that_brings_it():
    with pytest.raises(InputError, match=r"no_such_module .* `pip install 'elsr-paddle\[fast\]'`"):
        needs("no_such_module", extra="fast")


def test_opencvs_ways_name_the_extra_where_opencv_is_missing(monkeypatch, noise):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for call in (lambda: opencv_cubic(noise(8, 8, 3), (4, 4)),
                 lambda: make_pair(noise(8, 8, 3), 2, "blur_noise"),
                 lambda: make_pair(noise(8, 8, 3), 2, "opencv_cubic")):
        with pytest.raises(InputError, match=r"elsr-paddle\[opencv\]"):
            call()
    make_pair(noise(8, 8, 3), 2, "bicubic")


@pytest.mark.parametrize("floor", ["imaging", "enlarge"])
def test_no_module_that_enlarges_imports_opencv(root, run_python, floor):
    names = sorted(path.stem for path in (root / "elsr_paddle" / floor).glob("[!_]*.py"))
    imports = "; ".join(f"import elsr_paddle.{floor}.{name}" for name in names)
    done = run_python("-c", f"{imports}; import sys; print('cv2' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
