"""Check what an install brings: dependencies, files and the page on a package index."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from elsr_paddle.export.formats import FORMATS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines]
          for name, lines in PROJECT["optional-dependencies"].items()}  # fmt: skip
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("linux", "armv7l"), ("linux", "riscv64"),
             ("darwin", "x86_64"), ("darwin", "arm64"), ("win32", "AMD64"), ("win32", "ARM64"),
             ("freebsd14", "amd64")]  # fmt: skip
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")


def names(requirements, **where):
    """Names of the packages that are required there."""
    return {one.name for one in requirements if not one.marker or one.marker.evaluate(where)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), PLATFORMS)
def test_a_plain_install_has_exactly_one_engine(system, machine, python):
    brought = names(BASE, sys_platform=system, platform_machine=machine, python_version=python)
    engines = brought & {"halide", "onnx", "onnxruntime"}
    assert engines in ({"halide"}, {"onnx", "onnxruntime"})


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_halide_is_the_engine_where_it_has_wheels(system):
    machine = {"linux": "x86_64", "darwin": "arm64", "win32": "AMD64"}[system]
    where = {"sys_platform": system, "platform_machine": machine, "python_version": "3.11"}
    assert "halide" in names(BASE, **where)


# Both come in several builds that overwrite each other's files, and pip installs one over another.
@pytest.mark.parametrize("several_builds", ["opencv", "paddlepaddle"])
def test_a_package_of_several_builds_comes_with_its_own_extra_only(several_builds):
    brought_by = {name for name, requirements in [("", BASE), *EXTRAS.items()]
                  if any(one.name.startswith(several_builds) for one in requirements)}
    assert brought_by == {{"opencv": "opencv", "paddlepaddle": "cpu"}[several_builds]}


def packages_named_as_missing():
    """(module, extra) of every call of `needs`, and of every format; the extra may be empty."""
    for path in (ROOT / "elsr_paddle").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needs":
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                module, *extra = map(ast.literal_eval, values)
                yield module, "".join(extra)
    for kind in FORMATS.values():
        yield from kind.requires.items()


@pytest.mark.parametrize(("module", "extra"), sorted(set(packages_named_as_missing())))
def test_the_install_that_an_error_names_brings_the_missing_package(module, extra):
    package = {"cv2": "opencv-python-headless", "skimage": "scikit-image", "yaml": "pyyaml",
               "paddle": "paddlepaddle", "ai_edge_litert": "ai-edge-litert"}.get(
                   module.partition(".")[0], module)  # fmt: skip
    assert package in {one.name for one in (EXTRAS[extra] if extra else BASE)}


def test_cpu_is_train_and_paddle():
    (paddle, train) = EXTRAS["cpu"]
    assert paddle.name == "paddlepaddle"
    assert (train.name, train.extras) == (PROJECT["name"], {"train"})


def test_pyav_is_bounded_above_by_what_is_tested():
    (av,) = (one for one in BASE if one.name == "av")
    assert av.specifier.contains("19.0.2")
    assert not av.specifier.contains("20.0.0")


# .ci/install_check.py installs exactly these versions, so each bound has to be one that exists.
def test_every_dependency_states_its_lowest_version():
    assert all(any(bound.operator == ">=" for bound in one.specifier) for one in BASE)


def test_the_version_of_every_python_that_is_tried_is_a_classifier():
    for python in ("3.9", "3.11", "3.12", "3.13"):  # as in .ci/install_check.py
        assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_the_page_of_a_package_index_links_to_no_file_of_the_repository():
    page = (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
    assert re.findall(r"\]\((?!https://)[^)]*", page) == []


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "elsr_paddle" / "py.typed").is_file()


def test_the_installed_command_is_there():
    module, _, function = PROJECT["scripts"]["elsr"].partition(":")
    assert callable(getattr(import_module(module), function))
