"""Measure exports: what they lose on benchmark sets, each in its own runtime, and what they cost.

    python benchmarks/exports.py --benchmarks DIR [--model NAME ...] [--format NAME ...]
    python benchmarks/exports.py --cost [--model NAME ...]
    python benchmarks/exports.py --time [--model NAME ...]

DIR holds sets as `Set5/HR`, with the published LR files in `Set5/LR_bicubic/X4` where they are.
--cost counts what a frame costs, and measures the memory of the C library; --time compares integers
with floats. Prints Markdown. A format whose runtime is missing is left out with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import about, programs

from elsr_paddle.commands.shared import run
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.demo import calibration_photos
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import PROTOCOLS, score
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.evaluation.tables import table
from elsr_paddle.export.format import ExportOptions
from elsr_paddle.export.formats import FORMATS, find
from elsr_paddle.export.verify import pictures, verify
from elsr_paddle.imaging.io import is_gray_file, read_image
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.networks import zoo
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.weights import read

REFERENCE = "network"
FRAME = (320, 180)  # LR, width and height
RUNS, WARM_UP = 60, 5
PACKAGES = ("onnx", "onnxruntime", "openvino", "ai-edge-litert", "ncnn", "paddlepaddle", "halide",
            "ziglang", "wasmtime", "playwright")  # fmt: skip
PROGRAMS = (("ffmpeg", "-version"), ("chromium", "--version"), ("gcc", "--version"),
            ("aarch64-linux-gnu-gcc", "--version"), ("qemu-aarch64", "--version"),
            ("dpkg-query", "-Wf", "${Package} ${Version}, ", "libplacebo[0-9]*",
             "mesa-vulkan-drivers"))  # fmt: skip


def main(argv=None):
    args = parse(argv)
    print(about(PACKAGES), programs(PROGRAMS), sep="\n\n", end="\n\n")
    for model in args.model:
        trained = read(zoo.find(model, args.scale))
        if args.cost or args.time:
            print(f"{model} x{trained.scale}", cost_table(trained) if args.cost
                  else time_table(trained), sep="\n\n", end="\n\n", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="elsr_exports_") as folder:
            exports = [found for found in map(Maker(trained, Path(folder)), args.format) if found]
            print(f"{model} x{trained.scale}", as_table(exports, trained, args),
                  sep="\n\n", end="\n\n", flush=True)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--benchmarks", type=Path, metavar="DIR")
    what.add_argument("--cost", action="store_true")
    what.add_argument("--time", action="store_true")
    parser.add_argument("--model", nargs="+", default=["elsr-y", "elsr"], metavar="NAME")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--format", nargs="+", default=list(FORMATS), metavar="NAME")
    parser.add_argument("--stills", type=int, metavar="N", help="only the first N of each set")
    return parser.parse_args(argv)


@dataclass(frozen=True, eq=False)
class Export:
    """A written format and a runtime that runs it."""

    name: str
    runtime: str
    kilobytes: float
    largest: float
    enlarge: object  # callable, picture or plane -> the larger one, uint8


class Maker:
    """Writes and verifies formats of one network by name; None where one is left out."""

    def __init__(self, trained, folder):
        self._trained, self._folder = trained, folder
        photos = tuple(calibration_photos(trained.scale, trained.degradation))
        self._options = ExportOptions(photos=photos)

    def __call__(self, name):
        kind = find(name)
        try:
            kind.need()
            files = kind.write(self._trained, self._folder, self._options)

            def enlarge(image):
                return kind.run(files, image)

            found = verify(kind, enlarge, self._trained, self._options)
        except InputError as error:
            print(f"{name} left out: {error}", end="\n\n")
            return None
        size = sum(file.stat().st_size for file in files) / 1000
        return Export(name, kind.runtime, size, found.largest, enlarge)


def as_table(exports, trained, args):
    """A row for each export: its size, its largest difference, and dB lost on each set."""
    sets = find_sets(args.benchmarks, trained.scale)
    lost = {name: lost_db(stills[: args.stills], exports, trained)
            for name, stills in sets.items()}
    head = ["format", "run in", "KB", "largest difference, levels",
            *(f"{name}, dB lost" for name in sets)]
    rows = [[each.name, each.runtime, f"{each.kilobytes:.1f}", f"{each.largest:.2f}",
             *(f"{lost[name][each.name]:.3f}" for name in sets)] for each in exports]
    return table(head, rows)


def lost_db(stills, exports, trained):
    """Name of each export -> by how much its mean PSNR on Y is below that of the network."""
    enlargers = {REFERENCE: reference(trained), **{each.name: each.enlarge for each in exports}}
    psnr_db = {name: [] for name in enlargers}
    for still in stills:
        lr, hr = make_pair(read_image(still.path), trained.scale)
        lr = read_image(still.lr_path) if still.lr_path else lr
        for name, enlarge in enlargers.items():
            restored = as_bytes(on_pictures(enlarge, trained)(lr))
            found = score(hr, restored, PROTOCOLS["y"], structure=False,
                          scale=trained.scale, gray=is_gray_file(still.path))
            psnr_db[name].append(found.psnr_db)
    return {each.name: np.mean(psnr_db[REFERENCE]) - np.mean(psnr_db[each.name])
            for each in exports}


def as_bytes(image):
    """As programs show what a runtime gives in floats."""
    return np.rint(image).clip(0, 255).astype(np.uint8)


def reference(trained):
    """The network in float64, rounded to bytes."""

    def enlarge(image):
        pixels = evaluate(trained.graph, image.reshape(*image.shape[:2], -1))
        rounded = as_bytes(pixels)
        return rounded if image.ndim == 3 else rounded[:, :, 0]

    return enlarge


def on_pictures(enlarge, trained):
    """On RGB pictures; a network on luma leaves the colours to bicubic."""
    if trained.channels == 3:
        return enlarge
    return lambda image: upscale_by_luma(image, enlarge)


def cost_table(trained):
    """What a frame costs, by counting, and the memory of the C library, by running it."""
    graph, (width, height) = trained.graph, FRAME
    pixels = width * height
    picture = pixels * (graph.channels + graph.widths[-1] * graph.scale**2)
    between = sum(channels * resolution**2 for channels, resolution
                  in zip(graph.widths[1:-1], graph.resolutions[1:-1]))
    rows = [["multiply-adds", f"{pixels * graph.multiply_adds / 1e6:.1f} M"],
            ["bytes read and written by one pass over the rows", f"{picture / 1e6:.2f} MB"],
            ["bytes written and read again between layers, in float32",
             f"{2 * 4 * pixels * between / 1e6:.1f} MB"],
            ["the same in 8-bit integers", f"{2 * pixels * between / 1e6:.1f} MB"]]
    rows += [[f"memory that the library allocates, {w}x{h}, one thread", f"{kilobytes:.0f} KB"]
             for (w, h), kilobytes in library_memory(trained).items()]
    return table([f"a frame of {width}x{height}", "cost"], rows)


def library_memory(trained):
    """Size of LR -> KB that the kernel of the x86-64 library holds at most."""
    kind = FORMATS["halide-x86-64"]
    with tempfile.TemporaryDirectory(prefix="elsr_exports_") as scratch:
        folder = Path(scratch)
        files = kind.write(trained, folder, ExportOptions())
        header = next(file for file in files if file.name.endswith("_kernel.h"))
        name = header.name.removesuffix("_kernel.h")
        (folder / "memory.c").write_text(MEMORY_C.replace("network", name))
        subprocess.run(["gcc", "-O2", f"-I{header.parent}", folder / "memory.c",
                        header.with_name(f"{name}.c"), files[0], "-o", folder / "memory",
                        "-lpthread", "-ldl", "-lm"], check=True)
        return {size: int(subprocess.run([folder / "memory", *map(str, size)], check=True,
                                         capture_output=True, text=True).stdout) / 1000
                for size in (FRAME, (960, 540), (1920, 1080))}


def time_table(trained):
    """Milliseconds a frame, integers beside floats, run by turns on one thread."""
    photos = tuple(calibration_photos(trained.scale, trained.degradation))
    options = ExportOptions(size=FRAME, photos=photos)
    frame = pictures(*FRAME, trained.channels)[1].reshape(1, *FRAME[::-1], trained.channels)
    rows = []
    with tempfile.TemporaryDirectory(prefix="elsr_exports_") as folder:
        for runtime, names in PAIRS.items():
            files = [find(name).write(trained, Path(folder), options)[0] for name in names]
            calls = [SESSIONS[runtime](file, frame) for file in files]
            times = paired_milliseconds(calls)
            rows.append([runtime, *(f"{np.median(each):.2f} ({min(each):.2f})" for each in times),
                         f"{np.median(times[1] / times[0]):.2f}"])
    return table(["run in", "float32, ms: median (least)", "int8, ms", "median ratio"], rows)


def paired_milliseconds(calls):
    """float arrays (`RUNS`,), one a call; they take turns, so that both meet the same load."""
    found = np.empty((len(calls), RUNS))
    for number in range(-WARM_UP, RUNS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            found[index, max(number, 0)] = 1000 * (time.perf_counter() - start)
    return found


def onnxruntime_session(file, frame):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"lr": frame})


def openvino_session(file, frame):
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", options)
    request = compiled.create_infer_request()
    return lambda: request.infer([frame])


def litert_session(file, frame):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], frame)
    return interpreter.invoke


SESSIONS = {"ONNX Runtime": onnxruntime_session, "OpenVINO": openvino_session,
            "LiteRT": litert_session}  # fmt: skip
PAIRS = {"ONNX Runtime": ("onnx", "onnx-int8"), "OpenVINO": ("onnx", "onnx-int8"),
         "LiteRT": ("tflite", "tflite-int8")}  # fmt: skip
# Counts what Halide's runtime allocates; the address lies behind the size, as malloc gave it.
MEMORY_C = """
#include <stdio.h>
#include <stdlib.h>
#include "network.h"
#include "network_kernel.h"

static size_t held, most;

static void *counted(void *context, size_t size) {
    char *block = malloc(size + 128), *start = (char *)(((size_t)block + 127) / 64 * 64);
    (void)context;
    ((void **)start)[-1] = block, ((size_t *)start)[-2] = size;
    held += size;
    if (held > most) most = held;
    return start;
}

static void dropped(void *context, void *start) {
    (void)context;
    held -= ((size_t *)start)[-2];
    free(((void **)start)[-1]);
}

int main(int argc, char **argv) {
    int width = atoi(argv[1]), height = atoi(argv[2]);
    uint8_t *lr = calloc(3 * width, height), *sr = malloc((size_t)48 * width * height);
    halide_set_custom_malloc(counted);
    halide_set_custom_free(dropped);
    if (argc != 3 || network(lr, width, height, sr, 1)) return 1;
    printf("%zu", most);
    return 0;
}
"""

if __name__ == "__main__":
    run(main)
