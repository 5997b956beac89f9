"""What holds the project together: metadata, imports, links, and scripts that start at once."""

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from elsr_paddle.files import atomic_write

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
needs_names_of_the_stdlib = pytest.mark.skipif(
    sys.version_info < (3, 10), reason="Python lists its standard library by name from 3.10 on")
SCRIPTS_IN_THE_PACKAGE = {path.name for path in (ROOT / "elsr_paddle/commands").glob("*.py")}
MODULES = sorted((ROOT / "elsr_paddle").rglob("*.py"))


# The lowest floor first. A module imports from its own floor and from lower ones.
FLOORS = (
    ("errors", "files", "threads", "options", "framework"),
    ("imaging",),
    ("networks",),
    ("engines", "export", "video"),
    ("data", "enlarge"),
    ("evaluation",),
    ("training",),
    ("commands", "__main__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FACE = len(FLOORS)  # elsr_paddle/__init__.py, whose functions nobody in the package imports
CONSTANTS_OF_THE_FACE = ("__version__", "DEFAULT_MODEL")


def imported(path):
    """Full names of all that a file imports, wherever in it, by statement or by a string."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.match(r"elsr_paddle\.[\w.]+$", str(node.value)):
            yield node.value  # for importlib.import_module


def room_of(path):
    """The room that a module belongs to: its folder in the package, or the module itself."""
    return path.relative_to(ROOT / "elsr_paddle").parts[0].removesuffix(".py")


def floor_of(name):
    """The floor of a name such as elsr_paddle.imaging.io.read_image."""
    room = name.split(".")[1]
    return 0 if room in CONSTANTS_OF_THE_FACE else FLOOR_OF.get(room, FACE)


def test_every_room_stands_on_a_floor():
    assert {room_of(path) for path in MODULES} - {"__init__"} <= FLOOR_OF.keys()


def test_the_house_is_one_folder_deep():
    assert all(len(path.relative_to(ROOT / "elsr_paddle").parts) <= 2 for path in MODULES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_imports_run_only_downward(path):
    own = FLOOR_OF.get(room_of(path), FACE)
    ours = {name for name in imported(path) if name.startswith("elsr_paddle.")}
    assert [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(ours)
            if floor_of(name) > own] == []  # fmt: skip


@needs_names_of_the_stdlib
def test_importing_the_package_takes_nothing_heavy(run_python):
    code = "import sys; before = set(sys.modules); import elsr_paddle\n" \
           "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    taken = set(run_python("-c", code).stdout.split())
    assert taken - set(sys.stdlib_module_names) == {"elsr_paddle"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_comes_without_loading_paddle(script, run_python):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{script}', '--help']\n"
        "try:\n"
        f"    runpy.run_path('{script}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "print('paddle' in sys.modules, status or 0)"
    )
    done = run_python("-c", code)
    assert done.stdout.splitlines()[0].startswith("usage:"), done.stderr
    assert done.stdout.splitlines()[-1] == "False 0"


def test_the_package_never_imports_a_script():
    scripts = {Path(name).stem for name in SCRIPTS}
    assert not {name.split(".")[0] for path in MODULES for name in imported(path)} & scripts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_scripts_and_what_they_share_print(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert path.name in SCRIPTS_IN_THE_PACKAGE or not any(
        isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls
    )


def test_pictures_videos_and_data_are_handled_without_paddle(run_python):
    names = ("imaging.io", "imaging.metrics", "imaging.degrade", "data.pairs", "data.clips",
             "data.prepare", "data.demo", "video.read", "evaluation.compare", "evaluation.figures",
             "training.stages", "commands.shared")  # fmt: skip
    imports = "; ".join(f"import elsr_paddle.{name}" for name in names)
    done = run_python("-c", f"{imports}; import sys; print('paddle' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_without_paddle_one_line_names_the_extra_and_the_gpu_wheel(run_python):
    done = run_python(
        "-c",
        "import sys; sys.modules['paddle'] = None\n"
        "from elsr_paddle.commands import shared as cli\n"
        "def main():\n"
        "    import elsr_paddle.networks.paddle_layer\n"
        "cli.run(main)",
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "elsr-paddle[cpu]" in line
    assert "paddlepaddle-gpu" in line


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (["prepare_h5.py"], "h5py"),
        (["prepare_h5.py"], "skimage"),
        (["train.py", "--stage", "1"], "h5py"),
        (["train.py", "--stage", "1"], "matplotlib"),
        (["test.py"], "matplotlib"),
        (["test.py"], "skimage"),
        (["test_video.py"], "matplotlib"),
    ],
)
def test_without_a_package_for_training_one_line_names_the_extra(
    arguments, package, run_python, tmp_path
):
    done = run_python(
        "-c",
        f"import runpy, sys; sys.modules[{package!r}] = None\n"
        f"sys.path.insert(0, {str(ROOT)!r}); sys.argv = {arguments}\n"
        f"runpy.run_path({str(ROOT / arguments[0])!r}, run_name='__main__')",
        cwd=tmp_path,
    )
    missing = {"skimage": "scikit-image"}.get(package, package)
    assert done.returncode == 2
    package = {"skimage": "scikit-image"}.get(package, package)  # as pip knows it
    assert done.stderr.splitlines() == [
        f"error: {missing} is not installed: `pip install 'elsr-paddle[train]'` brings it"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_the_file_system_refuses_is_one_line_with_the_file(tmp_path, run_python):
    (tmp_path / "full").symlink_to("/dev/full")
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "full", "No space left on device"),
                         (tmp_path / "file" / "below", "Not a directory")):  # fmt: skip
        done = run_python(
            "-c",
            "from pathlib import Path; from elsr_paddle.commands import shared as cli\n"
            f"cli.run(lambda: Path({str(path)!r}).write_text('text'))",
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert reason in line


def test_a_disk_that_fills_up_is_told_with_the_name_the_file_was_to_have(tmp_path):
    path = tmp_path / "file.bin"
    with pytest.raises(OSError, match=r"/file\.bin") as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_goes_early_is_no_traceback():
    program = ("from elsr_paddle.commands import shared as cli\n"
               "cli.run(lambda: [print('line') for _ in range(10**6)])")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@needs_names_of_the_stdlib
def test_everything_imported_is_declared():
    text = (ROOT / "pyproject.toml").read_text().lower()
    package_of = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image",
                  "paddle": "paddlepaddle", "yaml": "pyyaml",
                  "ai_edge_litert": "ai-edge-litert"}  # fmt: skip
    used = {name.split(".")[0] for path in MODULES for name in imported(path)}
    foreign = used - set(sys.stdlib_module_names) - {"elsr_paddle", "__future__"}
    missing = {name for name in foreign if package_of.get(name, name) not in text}
    assert not missing
