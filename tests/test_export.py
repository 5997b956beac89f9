"""What is exported gives the network's picture in its own runtime, or is refused by name."""

import functools
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from odd_networks import ODD
from skimage.data import chelsea

from elsr_paddle.commands import export as command
from elsr_paddle.errors import InputError
from elsr_paddle.export.format import ExportOptions, Format
from elsr_paddle.export.formats import FORMATS
from elsr_paddle.export.verify import WINDOW, pictures, verify
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.networks import build, zoo
from elsr_paddle.networks.graph import Graph, Node, evaluate
from elsr_paddle.networks.operations import Operation, Unsupported
from elsr_paddle.networks.weights import read, save_tensors

NETWORKS = [build(model, {"scale": scale}) for model in ("elsr", "elsr-y") for scale in (4, 3, 2)]
NETWORKS += [build("espcn", {"scale": 3})]
ONNX = ("onnx", "onnx-fp16")
RUNS = [("onnx", "ONNX Runtime"), ("onnx", "OpenVINO"), ("onnx-fp16", "ONNX Runtime"),
        ("onnx-fp16", "OpenVINO"), ("tflite", "LiteRT"), ("ncnn", "ncnn"),
        ("paddle", "Paddle Inference")]
X86, ARM = "halide-x86-64", ("halide-arm-64-linux", "halide-arm-64-android")
WASM = "halide-wasm"
ON_X86 = (build("elsr", {"scale": 3}), build("elsr-y", {"scale": 4, "width": 4, "depth": 1}),
          ODD[0])
SMALL = build("elsr", {"scale": 4, "width": 2})
PHOTO = pictures(40, 30, 3)[1]  # to calibrate on where that is not tested
# One worker runs the tests of libraries: each library takes seconds to compile.
one_worker = pytest.mark.xdist_group("libraries")


@pytest.fixture(scope="session")
def library(trained, tmp_path_factory):
    """Compiles a library once: library(format, network) gives the trained network and its files."""

    @functools.cache
    def compiled(name, network):
        made = trained(network)
        return made, write_or_skip(name, made, tmp_path_factory.mktemp("library"))

    return compiled


def write_or_skip(name, made, folder, **options):
    kind = FORMATS[name]
    try:
        kind.need()
    except InputError as error:
        pytest.skip(str(error))
    return kind.write(made, folder, ExportOptions(**options))


def run_or_skip(name, files, image, runtime=None):
    kind = FORMATS[name]
    try:
        return kind.runtimes()[runtime or kind.runtime](files, image)
    except InputError as error:
        pytest.skip(str(error))


def levels(graph, image):
    channels = image.reshape(*image.shape[:2], -1)
    return evaluate(graph, channels).clip(0, 255).reshape(image.shape[0] * graph.scale,
                                                          image.shape[1] * graph.scale,
                                                          *image.shape[2:])


def plane_or_picture(image):
    return image[:, :, 0] if image.shape[2] == 1 else image


@pytest.mark.parametrize("network", [*NETWORKS, *ODD], ids=str)
@pytest.mark.parametrize("name, runtime", RUNS)
def test_an_export_gives_the_reference_within_one_level(
    name, runtime, network, trained, noise, tmp_path
):
    made = trained(network)
    image = plane_or_picture(noise(13, 18, made.channels))
    choices = ("uint8", "float") if "values" in FORMATS[name].obeys else ("uint8",)
    for values in choices:
        files = write_or_skip(name, made, tmp_path, values=values)
        restored = run_or_skip(name, files, image, runtime)
        if len(choices) > 1:
            assert (restored.dtype == np.uint8) == (values == "uint8")
        assert np.abs(restored.clip(0, 255) - levels(made.graph, image)).max() <= 1


@one_worker
@pytest.mark.parametrize("network", ON_X86, ids=str)
def test_a_library_enlarges_pictures_of_any_size_within_one_level(network, library, noise):
    made, files = library(X86, network)
    for size in ((1, 1), (7, 33), (24, 48), (10, 1), (3, 1700)):  # the last one in three tiles
        image = plane_or_picture(noise(*size, made.channels))
        restored = run_or_skip(X86, files, image)
        assert np.abs(restored - levels(made.graph, image)).max() <= 1


@one_worker
@pytest.mark.parametrize("name", [ARM[0], WASM])
def test_a_library_for_another_machine_runs_there_within_one_level(name, library, noise):
    made, files = library(name, SMALL)
    image = noise(33, 47, 3)
    restored = run_or_skip(name, files, image)
    assert np.abs(restored - levels(made.graph, image)).max() <= 1


@one_worker
@pytest.mark.parametrize("name", ARM)
def test_a_library_for_arm_has_its_kernel_and_a_runtime(name, library):
    nm = shutil.which("aarch64-linux-gnu-nm")
    if nm is None:
        pytest.skip("no aarch64-linux-gnu-nm")
    _, files = library(name, SMALL)
    listed = subprocess.run([nm, "--defined-only", files[0]], capture_output=True, text=True,
                            check=True).stdout.split()
    assert {"elsr_x4_kernel", "halide_malloc", "halide_do_par_for"} <= set(listed)


@one_worker
def test_the_c_of_a_library_compiles_without_a_warning(library, tmp_path):
    compiler = shutil.which("gcc") or pytest.skip("no gcc")
    _, files = library(X86, ON_X86[1])
    sources = [file for file in files if file.suffix == ".c"]
    assert [file.name for file in files] == ["libelsr_y_x4.a", "elsr_y_x4_kernel.h", "elsr_y_x4.h",
                                             "elsr_y_x4.c", "enlarge_elsr_y_x4.c"]
    subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", *sources],
                   cwd=tmp_path, check=True)


@one_worker
def test_the_program_of_a_library_refuses_what_is_no_picture(library, tmp_path):
    compiler = shutil.which("gcc") or pytest.skip("no gcc")
    _, files = library(X86, ON_X86[0])
    program = tmp_path / "enlarge"
    sources = [file for file in files if file.suffix == ".c"]
    subprocess.run([compiler, *sources, files[0], "-o", program, "-lpthread", "-ldl", "-lm"],
                   check=True)
    picture = tmp_path / "picture"
    for data in (b"", b"P5\n2 2\n255\n1234", b"P6\n2 2\n255\ncut", b"P6\n-2 2\n255\n"):
        picture.write_bytes(data)
        done = subprocess.run([program, picture, tmp_path / "out"], capture_output=True)
        assert done.returncode in (1, 2)
        assert done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_luma_network_comes_to_ncnn_with_bicubic_colours(scale, tmp_path):
    made = read(zoo.find("elsr-y", scale))
    files = write_or_skip("ncnn", made, tmp_path)
    photo = chelsea()[100:140, 150:190]
    expected = upscale_by_luma(photo, lambda plane: levels(made.graph, plane).round())
    restored = run_or_skip("ncnn", files, photo)
    assert np.abs(restored.clip(0, 255) - expected).mean() < 1  # luma is not rounded here


def test_ncnn_files_are_where_upscayl_looks_and_named_by_their_scale(trained, tmp_path):
    files = FORMATS["ncnn"].write(trained("elsr", scale=2), tmp_path, ExportOptions())
    assert [str(file.relative_to(tmp_path)) for file in files] == ["models/elsr_x2.param",
                                                                   "models/elsr_x2.bin"]
    lines = files[0].read_text().splitlines()
    blobs = [word for line in lines[2:] for word in line.split()[4:] if "=" not in word]
    assert lines[0] == "7767517"
    assert int(lines[1].split()[0]) == len(lines) - 2
    assert (blobs[0], blobs[-1]) == ("data", "output")
    assert int(lines[1].split()[1]) == len(set(blobs))


@pytest.mark.parametrize("values", ["uint8", "float"])
def test_a_fixed_size_is_in_an_onnx_model(values, trained, noise, tmp_path):
    onnx = pytest.importorskip("onnx")
    (path,) = write_or_skip("onnx", trained("elsr", scale=2), tmp_path, size=(20, 10),
                            values=values)
    graph = onnx.load(path).graph
    shapes = [[side.dim_value for side in value.type.tensor_type.shape.dim]
              for value in (*graph.input, *graph.output)]
    pictures = [[1, 10, 20, 3], [1, 20, 40, 3]]
    tensors = [[1, 3, 10, 20], [1, 3, 20, 40]]
    assert shapes == (pictures if values == "uint8" else tensors)


@pytest.mark.parametrize("network", [build("elsr", {"scale": 2}), *ODD], ids=str)
@pytest.mark.parametrize("name", ["onnx", "tflite", "paddle"])
def test_a_model_of_one_size_runs_at_it(name, network, trained, noise, tmp_path):
    made = trained(network)
    files = write_or_skip(name, made, tmp_path, size=(20, 10))
    image = plane_or_picture(noise(10, 20, made.channels))
    restored = run_or_skip(name, files, image)
    assert np.abs(restored - levels(made.graph, image)).max() <= 1


def test_the_data_of_a_tflite_model_is_aligned(trained, tmp_path):
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    (path,) = write_or_skip("tflite", trained("elsr"), tmp_path)
    data = path.read_bytes()
    model = schema.Model.GetRootAs(data)
    arrays = [model.Buffers(index).DataAsNumpy() for index in range(model.BuffersLength())]
    whole = np.frombuffer(data, np.uint8)
    starts = [array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
              for array in arrays if not isinstance(array, int)]
    assert len(starts) >= 8
    assert all(start % 16 == 0 for start in starts)


def test_float16_takes_about_half_the_bytes(trained, tmp_path):
    whole, half = (write_or_skip(name, trained("elsr-m"), tmp_path)[0].stat().st_size
                   for name in ONNX)
    assert half < 0.6 * whole


def test_an_export_is_named_after_the_file_of_its_network_or_the_network(trained, tmp_path):
    kind = FORMATS["onnx"]
    assert kind.path(trained("elsr", scale=3), tmp_path) == tmp_path / "elsr_x3.onnx"


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in (X86, *ARM, WASM)])
def test_a_refused_operation_is_named_and_leaves_what_was_there(name, trained, tmp_path):
    made = trained("elsr-y", scale=2, width=4, depth=1)
    files = write_or_skip(name, made, tmp_path, photos=(PHOTO,))
    refuses_a_riddle(name, made, files, tmp_path)


@one_worker
@pytest.mark.parametrize(("name", "network"), [(X86, ON_X86[0]),
                                               *((name, SMALL) for name in (*ARM, WASM))])
def test_a_refused_operation_is_named_and_leaves_the_library_there(name, network, library):
    made, files = library(name, network)
    refuses_a_riddle(name, made, files, files[0].parents[1])


def refuses_a_riddle(name, made, files, folder):
    """The format names the operation that it lacks, and changes no file."""
    before = files[0].read_bytes(), sorted(folder.rglob("*"))
    with pytest.raises(Unsupported, match="has no riddle"):
        FORMATS[name].write(with_a_riddle(made), folder, ExportOptions(photos=(PHOTO,)))
    assert (files[0].read_bytes(), sorted(folder.rglob("*"))) == before


def with_a_riddle(made):
    """A network that ends in an operation that no format knows."""

    class Riddle(Operation):
        title = "riddle"

        def apply(self, arrays, *features):
            return features[0]

    nodes = (*made.graph.nodes, Node(Riddle(), (len(made.graph.nodes) - 1,)))
    return replace(made, graph=Graph(nodes, made.graph.arrays))


def test_verification_sees_a_wrong_picture(trained):
    made = trained("elsr-y", scale=2)
    options = ExportOptions()

    def wrong(image):
        right = levels(made.graph, image)
        right[3, 5] = 255 - right[3, 5]
        return right

    good = verify(FORMATS["onnx"], lambda image: levels(made.graph, image), made, options)
    assert good.largest == good.rms == 0
    assert verify(FORMATS["onnx"], wrong, made, options).largest > 1


def test_of_a_large_picture_the_corner_is_compared(trained):
    made = trained("elsr-y", scale=2)
    size = (WINDOW + 40, WINDOW + 30)
    seen = []

    def right(image):
        seen.append(image.shape)
        return levels(made.graph, image)

    found = verify(FORMATS["onnx"], right, made, ExportOptions(size=size))
    assert found.largest < 1e-9
    assert seen == [size[::-1]] * 2


def test_the_pictures_compared_are_the_same_every_time():
    for first, second in zip(pictures(40, 24, 3), pictures(40, 24, 3)):
        assert np.array_equal(first, second)
        assert first.min() < 30
        assert first.max() > 220


@pytest.fixture
def saved(tmp_path, trained):
    """A file of weights of a network."""

    def save(model, **options):
        made = trained(model, **options)
        path = tmp_path / f"{model}_x{made.scale}.safetensors"
        save_tensors(path, made.graph.arrays, made.metadata)
        return path

    return save


def test_the_command_writes_runs_and_tells(saved, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    path = saved("elsr-y", scale=3)
    status = command.main(["--model", str(path), "--format", "onnx", "-o", str(tmp_path / "out")])
    (line,) = capsys.readouterr().out.splitlines()
    assert status == 0
    assert str(tmp_path / "out" / "elsr-y_x3.onnx") in line
    assert "KB  largest difference 0.50 levels in ONNX Runtime" in line


@pytest.mark.parametrize("arguments, expected", [
    (["--format", "nonsense"], "expected a format of onnx, .* or all but got 'nonsense'"),
    (["--format", "onnx", "--calibration", "photos"], "no --calibration with --format onnx"),
    (["--format", "onnx", "--scale", "3"], "expected weights for x3 but .* holds x2"),
    (["--format", "onnx", "--size", "0x5"], "expected a size such as 1920x1080 but got '0x5'"),
])  # fmt: skip
def test_what_cannot_be_exported_is_one_line(arguments, expected, saved, tmp_path):
    path = saved("elsr", scale=2)
    with pytest.raises(InputError, match=expected):
        command.main(["--model", str(path), "-o", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()


def test_all_formats_are_written_and_those_left_out_say_why(saved, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")

    class Narrow(Format):
        name, help = "narrow", "nobody"

        def write(self, trained, folder, options):
            raise Unsupported("narrow has no PReLU")

    class Absent(Format):
        name, help, requires = "absent", "nobody", {"no_such_module": "export"}

    chosen = {"onnx": FORMATS["onnx"], "narrow": Narrow(), "absent": Absent()}
    monkeypatch.setattr(command, "FORMATS", chosen)
    path = saved("elsr", scale=2)
    assert command.main(["--model", str(path), "--format", "all", "-o", str(tmp_path / "out")]) == 0
    written, *left_out = capsys.readouterr().out.splitlines()
    assert written.startswith("onnx")
    assert left_out[0] == "left out narrow: narrow has no PReLU"
    assert left_out[1].startswith("left out absent: no_such_module is not installed")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["elsr_x2.onnx"]


def test_an_export_whose_runtime_is_missing_is_kept_and_says_so(
    saved, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("onnx")

    class Distant(type(FORMATS["onnx"])):
        runtimes = FORMATS[ARM[1]].runtimes  # on an Android phone alone

    monkeypatch.setitem(FORMATS, "onnx", Distant())
    path = saved("elsr-y", scale=2)
    status = command.main(["--model", str(path), "--format", "onnx", "-o", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert status == 0
    assert (tmp_path / "out" / "elsr-y_x2.onnx").is_file()
    assert told.out.rstrip().endswith("not run here")
    assert "runs on an Android phone alone" in told.err


def test_integers_are_calibrated_on_the_photos_of_a_folder(saved, tmp_path):
    pytest.importorskip("onnx")
    path, made = saved("elsr-y", scale=2), []
    for name, photo in (("dark", chelsea() // 4), ("light", chelsea())):
        write_image(tmp_path / name / "photo.png", photo[:96, :96])
        command.main(["--model", str(path), "--format", "onnx-int8", "-o", str(tmp_path / "out"),
                      "--calibration", str(tmp_path / name)])
        made.append((tmp_path / "out" / "elsr-y_x2.int8.onnx").read_bytes())
    assert made[0] != made[1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected photos in .*empty but found none"):
        command.main(["--model", str(path), "--format", "onnx-int8", "-o", str(tmp_path / "out"),
                      "--calibration", str(tmp_path / "empty")])
