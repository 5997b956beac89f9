"""Build the wheel and the sdist, install them for every Python on this machine, and use them.

Each environment is fresh and lies outside the clone. In each of them `use_installed.py` enlarges a
photo and a film; in one of them tests of the sdist run. Ends with a table of the environments,
and with status 1 if any check failed.

    python .ci/install_check.py             all of it
    python .ci/install_check.py --no-tests  without the tests of the sdist
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
USE = Path(__file__).with_name("use_installed.py")
OPENCV = "opencv-contrib-python-headless"  # stands for any OpenCV that is there before
SDIST_PYTHONS = ("3.12", "3.13", "3.11", "3.9")  # the first that is here runs the sdist's tests
SDIST_EXTRAS = "cpu,opencv,openvino,onnx,dev"
# Of every floor something: all tests have run in the clone before.
SDIST_TESTS = ("documents", "engines", "errors", "face", "house", "packaging", "pictures",
               "prepare", "shipped", "train_command", "training", "upscale", "video")
COLUMNS = ("av", "numpy", "pillow", "halide", "onnxruntime", "opencv")
CHECKS = ("version", "photo", "film", "models")


@dataclass(frozen=True)
class Environment:
    """One fresh environment.

    Attributes
    ----------
    python : str, such as "3.9"
    kind : str, what is particular about it
    extras : str, of the wheel that is installed, such as "[train]"
    oldest : bool, install the lowest version that each dependency may have
    before, after : requirements to install before and after the wheel
    remove : packages to remove at the end, for platforms that have no wheels of them
    engine : str, the engine that must do the work
    """

    python: str
    kind: str = "newest"
    extras: str = ""
    oldest: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    engine: str = "halide"


ENVIRONMENTS = (
    Environment("3.9"),
    Environment("3.9", kind="oldest", oldest=True),
    Environment("3.11"),
    Environment("3.12"),
    Environment("3.13"),
    Environment("3.12", kind="as where Halide has no wheel", after=("onnx", "onnxruntime"),
                remove=("halide",), engine="onnxruntime"),
    Environment("3.11", kind="over an OpenCV", extras="[train]", before=(OPENCV,)),
)


@dataclass
class Outcome:
    """What came of one environment."""

    environment: Environment
    failures: list[str] = field(default_factory=list)
    skipped: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class StepError(Exception):
    """A command failed; holds the last lines that it printed."""


def run(*command, cwd, timeout=1200, **environment):
    """Run a command to its end; returns its stdout.

    Raises
    ------
    StepError with the end of its output, if its status is not 0 or the time is over.
    """
    command = [str(part) for part in command]
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith(("PYTHON", "ELSR_", "VIRTUAL_ENV"))}
    try:
        done = subprocess.run(command, cwd=cwd, env=variables | environment, capture_output=True,
                              text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        reached = (error.stdout or b"").decode(errors="replace").splitlines()[-10:]
        lines = [f"{' '.join(command)}: not done after {timeout} s", *reached]
        raise StepError("\n".join(lines)) from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise StepError(f"{' '.join(command)}: status {done.returncode}\n{tail}")
    return done.stdout


def find_python(version):
    """The first interpreter of a version that starts, of pyenv or on PATH; None without one."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (*installed, f"python{version}"):
        try:
            found = run(candidate, "-c", "import ensurepip, ssl, sys; print(*sys.version_info[:2])",
                        cwd="/", timeout=60)
        except (OSError, StepError):
            continue
        if found.split() == version.split("."):
            return candidate
    return None


def make_venv(folder, python):
    """A fresh environment; returns the path of its Python."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def install(python, *requirements):
    """pip install, without a word unless it fails."""
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *requirements,
        cwd=python.parents[2])


def build(folder):
    """Build the sdist, and the wheel from the sdist; returns both paths, the wheel first."""
    python = make_venv(folder / "build", sys.executable)
    install(python, "build")
    run(python, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


def lacking(sdist):
    """Files that git tracks and the sdist does not hold."""
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", cwd=ROOT).split("\n")
    return sorted({name for name in tracked if name} - held - {".gitignore"})


def oldest_allowed(wheel, python):
    """Constraints that hold each dependency of the wheel at its lower bound.

    Parameters
    ----------
    wheel : Path
    python : str, such as "3.9"

    Returns
    -------
    list of str, such as "numpy==1.23"
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    lines = []
    for requirement in map(Requirement, metadata.get_all("Requires-Dist")):
        where = {"python_version": python, "extra": ""}
        if requirement.marker is None or requirement.marker.evaluate(where):
            (lowest,) = (each.version for each in requirement.specifier if each.operator == ">=")
            lines.append(f"{requirement.name}=={lowest}")
    return lines


def install_environment(environment, wheel, python, folder):
    """Make an environment as described; returns its Python."""
    python = make_venv(folder / "venv", python)
    constraints = folder / "constraints.txt"
    lines = oldest_allowed(wheel, environment.python) if environment.oldest else []
    constraints.write_text("\n".join(lines))
    if environment.before:
        install(python, *environment.before)
    install(python, f"{wheel}{environment.extras}", "--constraint", constraints)
    if environment.after:
        install(python, *environment.after)
    if environment.remove:
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *environment.remove, cwd=folder)
    return python


def use(python, folder):
    """What `use_installed.py` says of an environment."""
    work = folder / "work"
    work.mkdir()
    return json.loads(run(python, USE, cwd=work).splitlines()[-1])


def check(environment, wheel, folder):
    """Install and use one environment; every failure is an item of the outcome."""
    started, outcome = time.monotonic(), Outcome(environment)
    python = find_python(environment.python)
    if python is None:
        outcome.skipped = f"no Python {environment.python} on this machine"
        return outcome
    try:
        found = use(install_environment(environment, wheel, python, folder), folder)
        outcome.versions, outcome.results = found["versions"], found["results"]
        outcome.failures = [*failures(found["results"], environment), *opencvs(outcome)]
    except StepError as error:
        outcome.failures = [str(error)]
    outcome.seconds = time.monotonic() - started
    return outcome


def failures(results, environment):
    """The checks that failed, and an engine that is not the expected one."""
    failed = [f"{name}: {result}" for name, result in results.items() if "FAILED" in result]
    if not failed and results["photo"] != environment.engine:
        failed = [f"expected the engine {environment.engine} but {results['photo']} worked"]
    return failed


def opencvs(outcome):
    """A complaint if the wheel brought an OpenCV."""
    found = {name for name in outcome.versions if name.startswith("opencv")}
    expected = {name for name in outcome.environment.before if name.startswith("opencv")}
    return [] if found == expected else [f"expected {expected} of OpenCV but found {found}"]


def test_sdist(sdist, folder):
    """Run some tests of the sdist in the folder it unpacks to; returns pytest's last line."""
    found = ((version, find_python(version)) for version in SDIST_PYTHONS)
    version, python = next((pair for pair in found if pair[1]), (None, sys.executable))
    python = make_venv(folder / "venv", python)
    install(python, f"elsr-paddle[{SDIST_EXTRAS}] @ {sdist.as_uri()}")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
    (unpacked,) = folder.glob("elsr_paddle-*")
    files = [f"tests/test_{name}.py" for name in SDIST_TESTS]
    summary = run(python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", *files,
                  cwd=unpacked).splitlines()[-1]
    return f"tests of the sdist, Python {version or 'of this environment'}: {summary}"


def row(outcome):
    """The cells of one environment in the table."""
    opencv = [f"{name[7:]} {version}" for name, version in outcome.versions.items()
              if name.startswith("opencv")]
    versions = {**outcome.versions, "opencv": ", ".join(opencv)}
    results = {name: result.partition(":")[0] for name, result in outcome.results.items()}
    return [outcome.environment.python, outcome.environment.kind,
            *(versions.get(name) or "-" for name in COLUMNS),
            *(results.get(name, "-") for name in CHECKS),
            outcome.skipped or f"{outcome.seconds:.0f} s"]


def print_table(outcomes):
    """Print a line for each environment, its columns aligned."""
    rows = [["Python", "installed", *COLUMNS, *CHECKS, "took"], *map(row, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


def check_all(wheel, folder):
    """Every environment in turn; tells each failure as it comes."""
    outcomes = []
    for number, environment in enumerate(ENVIRONMENTS):
        (folder / str(number)).mkdir()
        outcomes.append(check(environment, wheel, folder / str(number)))
        for failure in outcomes[-1].failures:
            print(f"FAILED: Python {environment.python}, {environment.kind}: {failure}", flush=True)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests of the sdist")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="elsr-install-") as name:
        folder = Path(name)
        wheel, sdist = build(folder)
        missing = lacking(sdist)
        if missing:
            print("FAILED: the sdist lacks", *missing)
        outcomes = check_all(wheel, folder)
        print_table(outcomes)
        if not args.no_tests:
            (folder / "sdist").mkdir()
            print(test_sdist(sdist, folder / "sdist"))
    return 1 if missing or any(outcome.failures for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StepError as error:
        sys.exit(f"FAILED: {error}")
