"""How fast networks train on a CPU: Paddle's passes, compiled kernels, and PyTorch channels-last.

A step is what `train.py` does with a batch: uint8 pictures to planes, linear blocks collapsed,
forward and backward pass, Adam, the average of weights. A child process for each number of threads
takes all ways in turn, so that what else the machine does hits all alike; medians. Beside the
patches a second of the clock stand those a second of processor time, which other programs disturb
less.

    python benchmarks/training.py [--threads 1 2] [--rounds 7] [--expansion 64] [--json FILE]

PyTorch is measured where it is installed.
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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

SCALE, PATCH, BATCH = 4, 36, 16
NETWORKS = ("elsr", "elsr-y", "elsr-m", "elsr-l")
ROUND_SECONDS = 0.5  # of one way, at least


@dataclass
class Speed:
    """Patches a second, round by round: of the clock, and of processor time."""

    clock: list
    processor: list


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--expansion", type=int, default=64, help="of the linear blocks; 0: plain")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure as JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        print(json.dumps([measure(name, args) for name in args.networks]))
        return
    rows = [row for threads in args.threads for row in run_child(args, threads)]
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def run_child(args, threads):
    """The rows measured on a number of threads, by a process that knows no other number."""
    command = [sys.executable, __file__, "--child", "--threads", str(threads), "--rounds",
               str(args.rounds), "--expansion", str(args.expansion), "--networks", *args.networks]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name, args):
    """One row: the speed of every way to train a network, with its number of parameters."""
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (BATCH, PATCH, PATCH, 3), dtype=np.uint8)
    side = SCALE * PATCH
    hr = rng.integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    steps = {way: partial(step, lr, hr) for way, step in ways(name, args).items()}
    speeds = {way: Speed([], []) for way in steps}
    for step in steps.values():
        step()
    for _ in range(args.rounds):
        for way, step in steps.items():
            time_round(step, speeds[way])
    return {
        "network": name,
        "threads": args.threads[0],
        "ways": {way: vars(speed) for way, speed in speeds.items()},
    }


def time_round(step, speed):
    clock, processor, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - clock < ROUND_SECONDS or count < 3:
        step()
        count += 1
    speed.clock.append(count * BATCH / (time.perf_counter() - clock))
    speed.processor.append(count * BATCH / (time.process_time() - processor))


def ways(name, args):
    """Name -> function (lr, hr) that makes one step."""
    found = {"Paddle's passes" if kernels == "paddle" else "compiled kernels":
             trainer(name, args.expansion, kernels).update for kernels in ("paddle", "halide")}
    try:
        found["PyTorch channels-last"] = torch_step(name, args.expansion, args.threads[0])
    except ModuleNotFoundError:
        print("PyTorch is not installed", file=sys.stderr)
    return found


def trainer(name, expansion, kernels):
    from elsr_paddle.networks import build
    from elsr_paddle.training.run import Run
    from elsr_paddle.training.stages import STAGES
    from elsr_paddle.training.trainer import Trainer

    stage = replace(STAGES[3], scale=SCALE, hr_patch=SCALE * PATCH, batch_size=BATCH, loss="l1",
                    expansion=expansion)
    network = build(name, {"scale": SCALE})
    return Trainer(Run(stage, network, Path(tempfile.gettempdir()), kernels=kernels))


def torch_step(name, expansion, threads):
    """The same step in PyTorch: collapsed blocks, convolutions in channels-last, foreach Adam."""
    import torch

    from elsr_paddle.networks import build
    from elsr_paddle.training.planes import planes_of

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build(name, {"scale": SCALE})
    trained = TorchNetwork(network.graph, expansion)
    optimizer = torch.optim.Adam(trained.parameters, 1e-3, foreach=True)
    average = [tensor.detach().clone() for tensor in trained.effective().values()]

    def step(lr, hr):
        lr, hr = (torch.from_numpy(planes_of(images, network.channels)) for images in (lr, hr))
        sr = trained(lr.contiguous(memory_format=torch.channels_last))
        torch.nn.functional.l1_loss(sr, hr).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(trained.effective().values()), 0.001)

    return step


class TorchNetwork:
    """A network's operations in PyTorch, its convolutions as linear blocks.

    Parameters
    ----------
    graph : Graph
    expansion : int
    """

    def __init__(self, graph, expansion):
        import torch

        self._graph, self._blocks, self.parameters = graph, {}, []
        for name, shape in graph.parameters().items():
            sizes = {"": shape}
            if expansion and len(shape) == 4:
                sizes = {"": shape, "squeeze": (shape[0], expansion),
                         "expand": (expansion, int(np.prod(shape[1:])))}
            tensors = [torch.nn.Parameter(0.1 * torch.randn(size)) for size in sizes.values()]
            self._blocks[name] = tensors
            self.parameters += tensors

    def effective(self):
        """Name -> tensor of the plain network's parameters."""
        found = {}
        for name, (tensor, *wide) in self._blocks.items():
            found[name] = tensor
            if wide:
                found[name] = (wide[0] @ wide[1]).reshape(tensor.shape) + tensor
        return found

    def __call__(self, lr):
        parameters, values = self.effective(), [lr]
        for node in self._graph.nodes[1:]:
            given = [values[source] for source in node.sources]
            values.append(apply_in_torch(node.op, parameters, *given))
        return values[-1]


def apply_in_torch(op, parameters, *given):
    import torch.nn.functional as F

    from elsr_paddle.networks import operations as ops

    own = [parameters[name] for name in op.parameters()]
    if isinstance(op, ops.Conv):
        return F.conv2d(*given, *own, padding=op.reach)
    if isinstance(op, ops.PReLU):
        return F.prelu(*given, *own)
    if isinstance(op, ops.PixelShuffle):
        return F.pixel_shuffle(*given, op.scale)
    return given[0] + given[1]


def table(rows):
    """Markdown: medians of patches a second, of the clock (of processor time), and the ratio to
    Paddle's passes, the median over rounds."""
    names = list(rows[0]["ways"])
    lines = [f"| network | threads | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for row in rows:
        first = row["ways"][names[0]]
        cells = [cell(row["ways"][name], first) for name in names]
        lines.append(f"| {row['network']} | {row['threads']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(speed, first):
    clock, processor = (
        statistics.median(speed[kind]) for kind in ("clock", "processor")
    )
    ratios = (
        statistics.median(a / b for a, b in zip(speed[kind], first[kind]))
        for kind in ("clock", "processor")
    )
    return "{:.0f} ({:.0f}); {:.1f}x ({:.1f}x)".format(clock, processor, *ratios)


if __name__ == "__main__":
    main()
