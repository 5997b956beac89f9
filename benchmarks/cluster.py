"""Work out on paper how a Ray cluster scales: from what a segment costs the nodes and the driver.

Measures one film in processor seconds, which other load on the machine hardly changes: a segment on
a node; planning, receiving, writing and joining on the driver; and Ray's own share for each task,
where Ray is installed. A library of films then takes as long as the slowest of three alone: all
cores of the nodes, the driver's one core, the driver's network.

    python benchmarks/cluster.py FILM [--films 10000] [--minutes 90] [--cores 16] [--gigabits 10]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
from file_to_file import repeat_clip
from machine import about

from elsr_paddle.engines.choose import load_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.enlarge.batch import Job
from elsr_paddle.enlarge.cluster import Span, Work, _Film, make_segments
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.networks import zoo
from elsr_paddle.video.encoder import VideoOptions

MODEL, SCALE = "elsr-y", 2
LIMIT = 2**28  # pixels
REPEATS = 4  # of the film: joining one of few segments shows little but its fixed costs
TASKS = 1000  # empty ones, to see what Ray takes for itself
NODES = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Costs:
    """Processor seconds and bytes, of a film (`plan`), of a second of film, or of a task.

    Attributes
    ----------
    enlarge : of a node's core, for a second of film
    plan : of the driver, for a film
    write, join : of the driver, for a second of film
    task : of the driver, for a task of Ray's
    source, part : bytes of input and output in a second of film
    """

    enlarge: float
    plan: float
    write: float
    join: float
    task: float
    source: float
    part: float


def measure(film, folder):
    """Costs of one film, a few times over."""
    once, film = film, folder / f"film{film.suffix}"
    repeat_clip(once, film, REPEATS)
    path = zoo.find(MODEL, SCALE)
    work = Work(((SCALE, path.read_bytes()),), EngineOptions(threads=1), Target(SCALE), LIMIT,
                VideoOptions(threads=1))
    engine = load_engine(path, threads=1)
    upscaler = Upscaler(lambda scale: engine, (SCALE,), Target(SCALE), LIMIT)
    job = Job(film, folder / "out.mp4", video=True)
    _Film(job, upscaler, work.video, True)  # the first compiles and tries encoders
    begin = time.process_time()
    planned = _Film(job, upscaler, work.video, True)
    plan = time.process_time() - begin
    list(make_segments(work, str(film), film.suffix, "mp4", Span(0, 1), frozenset()))
    begin = time.process_time()
    made = list(make_segments(work, str(film), film.suffix, "mp4", Span(), frozenset()))
    enlarge = time.process_time() - begin
    planned.spans, planned._open = [Span()], 1
    begin = time.process_time()
    for one in made:
        planned.take(one)
    write = time.process_time() - begin
    begin = time.process_time()
    planned.finished()
    join = time.process_time() - begin
    with av.open(str(film)) as opened:
        seconds = opened.duration / av.time_base
    sizes = film.stat().st_size, job.output.stat().st_size
    return Costs(enlarge / seconds, plan, write / seconds, join / seconds, task_cost(),
                 *(size / seconds for size in sizes))


def task_cost():
    """Processor seconds that a task of Ray's takes of the driver; 1 ms where Ray is missing."""
    try:
        import ray
    except ImportError:
        return 1e-3
    ray.init(address="local", log_to_driver=False, logging_level="error", num_cpus=1)
    empty = ray.remote(lambda: None)
    ray.get(empty.remote())
    begin = time.process_time()
    ray.get([empty.remote() for _ in range(TASKS)])
    cost = (time.process_time() - begin) / TASKS
    ray.shutdown()
    return cost


def hours(costs, nodes, args):
    """Hours that the nodes, the driver and its network each take alone."""
    seconds = 60 * args.minutes
    per_film = (costs.plan + seconds * (costs.write + costs.join)
                + seconds / args.segment * costs.task)
    # Parts come in, are written, read and written again as the output; the source is read once.
    moved = seconds * (4 * costs.part + costs.source)
    return {"nodes": args.films * seconds * costs.enlarge / (nodes * args.cores) / 3600,
            "driver": args.films * per_film / 3600,
            "network": args.films * moved / (args.gigabits * 1e9 / 8) / 3600}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--films", type=int, default=10000)
    parser.add_argument("--minutes", type=float, default=90, help="of a film")
    parser.add_argument("--segment", type=float, default=10, help="seconds")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--gigabits", type=float, default=10, help="a second, of the driver")
    args = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    print(about())
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(args.film, Path(folder))
    for name, value in dataclasses.asdict(costs).items():
        print(f"{name:8} {value:.6g}")
    alone = hours(costs, 1, args)["nodes"]
    print("nodes  hours: nodes  driver  network   limit     of the ideal")
    for nodes in NODES:
        each = hours(costs, nodes, args)
        limit = max(each, key=each.get)
        print(f"{nodes:5} {each['nodes']:12.1f} {each['driver']:7.1f} {each['network']:8.1f}   "
              f"{limit:8} {100 * alone / nodes / each[limit]:5.0f} %")


if __name__ == "__main__":
    main()
