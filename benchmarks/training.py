"""How fast networks train on a CPU: Paddle's passes, compiled kernels, and PyTorch channels-last.

A step is what `train.py` does with a batch: uint8 pictures to planes, linear blocks collapsed,
forward and backward pass, Adam, the average of weights. Child processes, each with one way and one
number of threads, take turns, so that what else the machine does hits all alike; no way has to
share the cores with waiting threads of another. Medians. Beside the patches a second of the clock
stand those a second of processor time, which other programs disturb less.

    python benchmarks/training.py [--threads 1 2] [--turns 3] [--expansion 64] [--json FILE]

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
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np

SCALE, PATCH, BATCH = 4, 36, 16
NETWORKS = ("elsr", "elsr-y", "elsr-m", "elsr-l")
WAYS = ("Paddle's passes", "compiled kernels", "PyTorch channels-last")
SECONDS, LEAST_STEPS = 1.5, 3  # of one way with one network in a turn
WARM_UP = 3  # steps


@dataclass
class Speed:
    """Patches a second, turn by turn: of the clock, and of processor time."""

    clock: list
    processor: list


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--expansion", type=int, default=64, help="of the linear blocks; 0: plain")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure as JSON")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # of a child
    args = parser.parse_args(argv)
    if args.way:
        print(json.dumps([measure(name, args) for name in args.networks]))
        return
    ways = [way for way in WAYS if way != WAYS[2] or find_spec("torch")]
    if WAYS[2] not in ways:
        print("PyTorch is not installed", file=sys.stderr)
    rows = [{"network": name, "threads": threads,
             "ways": {way: vars(Speed([], [])) for way in ways}}
            for threads in args.threads for name in args.networks]
    for _, threads, way in product(range(args.turns), args.threads, ways):
        ours = [row for row in rows if row["threads"] == threads]
        for row, (clock, processor) in zip(ours, run_child(args, threads, way)):
            row["ways"][way]["clock"].append(clock)
            row["ways"][way]["processor"].append(processor)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def run_child(args, threads, way):
    """What `measure` gives for each network, in a process that knows one number of threads."""
    command = [sys.executable, __file__, "--way", way, "--threads", str(threads), "--expansion",
               str(args.expansion), "--networks", *args.networks]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name, args):
    """Patches a second of a way to train a network: of the clock, and of processor time."""
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (BATCH, PATCH, PATCH, 3), dtype=np.uint8)
    side = SCALE * PATCH
    hr = rng.integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    step = step_of(name, args)
    for _ in range(WARM_UP):
        step(lr, hr)
    clock, processor, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - clock < SECONDS or count < LEAST_STEPS:
        step(lr, hr)
        count += 1
    return (count * BATCH / (time.perf_counter() - clock),
            count * BATCH / (time.process_time() - processor))


def step_of(name, args):
    """Function (lr, hr) that makes one step, in the way asked for."""
    if args.way == WAYS[2]:
        return torch_step(name, args.expansion, args.threads[0])
    kernels = "paddle" if args.way == WAYS[0] else "halide"
    return trainer(name, args.expansion, kernels).update


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
    Paddle's passes, the median over turns."""
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
