"""How fast a frame is enlarged: every engine, the frameworks as people run them, and the floor.

A child process for each number of threads measures everything in interleaved rounds, so that what
else the machine does hits all alike. Frames are uint8 in and out, one at a time. The floor is the
network's multiply-adds at the highest sgemm rate that any installed library reaches here.

    python benchmarks/speed.py [--threads 1 2] [--rounds 30] [--json FILE]

PyTorch, OpenVINO, ONNX Runtime, Halide and Paddle are measured where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from machine import about

from elsr_paddle.commands.shared import run
from elsr_paddle.engines.choose import ENGINES, load_engine
from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write
from elsr_paddle.networks import operations as ops
from elsr_paddle.networks.weights import read
from elsr_paddle.networks.zoo import find

SCALE = 4
FRAME = (180, 320)
FRAMES = [(90, 160), FRAME, (270, 480), (360, 640), (540, 960), (720, 1280), (1080, 1920)]
LUMA = ("elsr-y", "elsr-m")  # networks on luma, timed on a plane and on a picture in colour
PORT = "PyTorch eager, as the port runs it"
GEMM = 1024  # side of the matrices whose product gives the peak
START = """
import time
import numpy as np
from machine import about
from elsr_paddle.engines.choose import load_engine
engine = load_engine('elsr', engine={name!r})
engine.upscale(np.zeros({shape}, np.uint8))
"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure as JSON")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # for a child
    args = parser.parse_args(argv)
    if args.measure:
        print(json.dumps(measure(args.threads[0], args.rounds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {threads: child(threads, args.rounds) for threads in args.threads}
        starts = {name: start(Path(folder), name) for name in ENGINES}
    print(as_markdown(results, starts))
    if args.json:
        with atomic_write(args.json) as temporary:
            temporary.write_text(json.dumps({"threads": results, "starts": starts}, indent=1))


def child(threads, rounds):
    """Measure in a fresh process, whose libraries all see the number of threads at their start."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
                           str(threads))
    command = [sys.executable, __file__, "--measure", "--threads", str(threads), "--rounds",
               str(rounds)]
    done = subprocess.run(command, env={**os.environ, **limits}, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def measure(threads, rounds):
    """Milliseconds a call: {"frames": {name: [...]}, "sizes": {"WxH": [...]}, "gflops": x}."""
    import cv2

    cv2.setNumThreads(threads)
    graph = read(find("elsr", SCALE)).graph
    frame = noise(*FRAME)
    fastest = load_engine("elsr", threads=threads)
    sizes = {f"{width}x{height}": partial(fastest.upscale, noise(height, width))
             for height, width in FRAMES}
    return {
        "gflops": max(gemm_rate(product) for product in gemms(threads)),
        "multiply_adds": graph.multiply_adds,
        "frames": interleaved(contestants(graph, frame, threads), rounds),
        "engine": fastest.name,
        "sizes": interleaved(sizes, rounds),
    }


def noise(height, width, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def contestants(graph, frame, threads):
    """{name: function without arguments that enlarges the frame}, what is installed."""
    import cv2

    size = (SCALE * FRAME[1], SCALE * FRAME[0])
    calls = {}
    for name in ENGINES:
        engine = engine_or_none("elsr", name, threads)
        if engine:
            calls[f"engine {name}"] = partial(engine.upscale, frame)
    plane = frame[..., 0].copy()  # as a decoder gives it, not every third byte of a picture
    for model in LUMA:
        luma = engine_or_none(model, "auto", threads)
        calls[f"{model}, engine {luma.name}, plane"] = partial(luma.upscale_plane, plane)
        calls[f"{model}, engine {luma.name}, picture"] = partial(luma.upscale, frame)
    calls.update(torch_calls(graph, frame, threads))
    calls["OpenCV bicubic"] = lambda: cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    calls["OpenCV Lanczos"] = lambda: cv2.resize(frame, size, interpolation=cv2.INTER_LANCZOS4)
    return calls


def engine_or_none(model, name, threads):
    try:
        return load_engine(model, engine=name, threads=threads)
    except InputError as error:
        print(error, file=sys.stderr)
        return None


def torch_calls(graph, frame, threads):
    """The network in PyTorch: as the port has it, from uint8 to uint8, and its float core alone.

    Source: model.py and test_video.py of the port, https://github.com/andreacoppari/ELSR-torch
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return {}
    torch.set_num_threads(threads)
    layers = [torch_layer(torch, node.op, graph.arrays) for node in graph.nodes[1:]]
    floats = torch.from_numpy(np.float32(frame.transpose(2, 0, 1)[None]) / 255)

    def core():
        head, first, activation, second, _, tail, shuffle = layers
        with torch.no_grad():
            features = head(floats)
            return shuffle(tail(features + second(activation(first(features)))))

    def port():
        head, first, activation, second, _, tail, shuffle = layers
        tensor = torch.from_numpy(frame.astype(np.float32).transpose(2, 0, 1) / 255.0)[None]
        with torch.no_grad():  # it rectifies three times where the paper does not
            features = torch.relu(head(tensor))
            features = torch.relu(features + second(activation(first(features))))
            restored = torch.relu(shuffle(tail(features))).clamp(0, 1)
        return (restored.numpy().squeeze(0).transpose(1, 2, 0) * 255).astype(np.uint8)

    return {PORT: port, "PyTorch eager, floats to floats": core}


def torch_layer(torch, op, arrays):
    if isinstance(op, ops.Conv):
        made = torch.nn.Conv2d(op.inputs, op.outputs, op.kernel, padding=op.reach)
    elif isinstance(op, ops.PReLU):
        made = torch.nn.PReLU(op.size)
    else:
        return torch.nn.PixelShuffle(SCALE)
    named = zip(("weight", "bias"), op.parameters())
    made.load_state_dict({name: torch.tensor(arrays[ours].copy()) for name, ours in named})
    return made


def gemms(threads):
    """Products of two float32 matrices by the libraries that are installed."""
    left, right = (np.random.default_rng(seed).random((GEMM, GEMM), np.float32) for seed in (0, 1))
    yield lambda: left @ right
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(threads)
    tensors = torch.from_numpy(left), torch.from_numpy(right)
    yield lambda: tensors[0] @ tensors[1]


def gemm_rate(product, calls=30):
    """GFLOP/s of the fastest of some calls."""
    return 2 * GEMM**3 / min(timed(product) for _ in range(calls)) / 1e6


def interleaved(calls, rounds):
    """Milliseconds of every call in every round, each called once before."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # the caches are its own when it is timed
            times[name].append(timed(call))
    return times


def timed(call):
    """Milliseconds."""
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def start(folder, name):
    """Seconds from the start of a process to its first frame, with an empty and a filled cache, and
    the peak memory in MB of one that makes an 8K frame; None where the engine is not installed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache_{name}")}
    try:
        seconds = [process(START.format(name=name, shape=(*FRAME, 3)), environment)[0]
                   for _ in range(4)]
        memory = process(START.format(name=name, shape=(1080, 1920, 3)), environment)[1]
    except subprocess.CalledProcessError:
        return None
    return {"first": seconds[0], "later": statistics.median(seconds[1:]), "peak_mb": memory}


def process(code, environment):
    """Seconds and peak memory in MB of a Python process."""
    report = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + report], env=environment, check=True,
                          capture_output=True, text=True)
    return time.perf_counter() - begin, int(done.stdout.split()[-1]) / 1024


def as_markdown(results, starts):
    lines = [about(), ""]
    for threads, result in results.items():
        lines += [*frames_table(threads, result), "", *sizes_table(threads, result), ""]
    return "\n".join([*lines, *starts_table(starts)])


def frames_table(threads, result):
    """Every contestant, with ratios of medians to the port, to OpenVINO and to the floor."""
    milliseconds = {name: statistics.median(times) for name, times in result["frames"].items()}
    per_frame = 2 * result["multiply_adds"] * FRAME[0] * FRAME[1]
    floor = per_frame / result["gflops"] / 1e6
    yield f"### {threads} thread{'s' * (threads > 1)}: {FRAME[1]}x{FRAME[0]} x{SCALE}, ms a frame\n"
    yield (f"Floor {floor:.2f} ms: {per_frame / 2e6:.1f} M multiply-adds at "
           f"{result['gflops']:.0f} GFLOP/s (sgemm)\n")
    yield "| | median | minimum | times faster than the port | than OpenVINO | times the floor |"
    yield "|---|---|---|---|---|---|"
    for name, middle in sorted(milliseconds.items(), key=lambda item: item[1]):
        ratios = [ratio(milliseconds.get(other), middle) for other in (PORT, "engine openvino")]
        yield (f"| {name} | {middle:.2f} | {min(result['frames'][name]):.2f} | "
               f"{' | '.join(ratios)} | {middle / floor:.2f} |")
    yield from colour_lines(result["frames"])


def colour_lines(frames):
    """What a picture in colour costs a network on luma, against its plane."""
    for name, times in frames.items():
        plane, is_picture = frames.get(name.replace(", picture", ", plane")), ", picture" in name
        if is_picture:
            middle = statistics.median(own / other for own, other in zip(times, plane))
            least = min(times) / min(plane)
            yield (f"\n{name} takes {middle:.2f} times its plane (median of the rounds; of the "
                   f"minima {least:.2f})")


def ratio(other, value):
    return f"{other / value:.1f}" if other else ""


def sizes_table(threads, result):
    """The cost of a pixel at each frame size, beside that of the usual frame."""
    usual = per_pixel(f"{FRAME[1]}x{FRAME[0]}", result["sizes"])
    yield f"### {threads} thread{'s' * (threads > 1)}: sizes of frames, engine {result['engine']}\n"
    yield f"| input | median, ms | ns a pixel | against {FRAME[1]}x{FRAME[0]} |"
    yield "|---|---|---|---|"
    for name, times in result["sizes"].items():
        cost = per_pixel(name, result["sizes"])
        yield f"| {name} | {statistics.median(times):.2f} | {cost:.1f} | {cost / usual:.2f} |"


def per_pixel(name, sizes):
    """Nanoseconds a pixel of the smaller picture."""
    width, height = map(int, name.split("x"))
    return statistics.median(sizes[name]) * 1e6 / (width * height)


def starts_table(starts):
    yield "### From the start of a process to its first frame, seconds; peak memory at 8K output\n"
    yield "| engine | first start | later starts | peak memory, 8K frame, MB |"
    yield "|---|---|---|---|"
    for name, found in starts.items():
        if found:
            yield (f"| {name} | {found['first']:.2f} | {found['later']:.2f} | "
                   f"{found['peak_mb']:.0f} |")


if __name__ == "__main__":
    run(main)
