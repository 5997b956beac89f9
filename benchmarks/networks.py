"""Measure every family of networks side by side: cost, dB where there are weights, frames a second.

    python benchmarks/networks.py [--scale 4] [--benchmarks DIR] [--weights FILE ...] [--plot FILE]

Weights are those that ship, those trained under `out/` and the files given; a network without any
is timed with random ones. A time is the least processor time of one core for a picture in colour,
of some turns through all networks. Prints Markdown, that of benchmarks/networks.md, and draws dB
against milliseconds beside published figures, whose networks are timed by their layers.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from machine import about
from matplotlib.ticker import FormatStrFormatter

from elsr_paddle.commands.shared import OUT, PLOTS, Skipped, run
from elsr_paddle.engines.choose import (
    ENGINES,
    MOST_COMPILED,
    layers_to_compile,
    make_engine,
)
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import evaluate_sets, make_candidate
from elsr_paddle.evaluation.figures import CostAxis, CostPoint, cost_figure
from elsr_paddle.evaluation.frame_times import REAL_TIME_MS, frame_milliseconds
from elsr_paddle.evaluation.peers import PEERS, with_random_weights
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.published import published
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.evaluation.tables import table
from elsr_paddle.networks import NETWORKS, build, zoo
from elsr_paddle.networks.weights import read

HEIGHT, WIDTH = 720, 1280  # of the enlarged frame
SLOWEST = 130.0  # G multiply-adds a frame; larger networks are not timed
COST_SET = "Set14"  # whose dB are drawn
# Method as `published` names it -> the network here that has its layers, and its options.
FAMILIES = {
    "FSRCNN, luma": ("fsrcnn", {}),
    "SRCNN, luma": ("srcnn", {"sides": "9-5-5"}),
    "ESPCN, luma": ("espcn", {}),
    "EDSR-baseline": ("edsr-baseline", {}),
}


def main(argv=None):
    """Print the table and draw the picture."""
    args = parse(argv)
    trained, skipped = find_trained(args), Skipped()
    networks = {**{name: build(name, {"scale": args.scale}) for name in NETWORKS},
                **{name: found.network for name, found in trained.items()}}
    results = measure_sets(trained, args, skipped) if args.benchmarks else {}
    others = published_networks(args.scale)
    times = {engine: milliseconds({**networks, **others}, trained, engine, args)
             for engine in args.engines}
    print(as_markdown(networks, results, times, args))
    if COST_SET in results:
        draw(args.plot, results[COST_SET], times, args.scale)
    return skipped.status()


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--benchmarks", type=Path, help="folder of sets; without, no dB")
    parser.add_argument("--weights", type=Path, nargs="*", default=[], metavar="FILE",
                        help="more networks, each a row; those of another scale are left out")
    parser.add_argument("--engines", nargs="*", default=["halide", "openvino"], choices=ENGINES)
    parser.add_argument("--slowest", type=float, default=SLOWEST, metavar="G",
                        help="time no network of more multiply-adds, in G (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns timed (default: %(default)s)")
    parser.add_argument("--plot", type=Path, default=PLOTS / "networks.png", metavar="FILE")
    return parser.parse_args(argv)


def find_trained(args):
    """Label of the row -> trained network at the scale."""
    entries, _ = zoo.available(OUT)
    found = {}
    for name in NETWORKS:
        own = [entry for entry in entries if entry.model == name]
        if entry := zoo.choose(own, name, args.scale):
            found[name] = read(entry.path)
    given = [read(path) for path in args.weights]
    return {**found, **{label(item.network): item for item in given if item.scale == args.scale}}


def label(network):
    """The name, and the options that are not the defaults."""
    default = type(network)(scale=network.scale)
    changed = [f"{field.name} {getattr(network, field.name)}"
               for field in dataclasses.fields(network)
               if getattr(network, field.name) != getattr(default, field.name)]
    return ", ".join([network.name, *changed])


def measure_sets(trained, args, skipped):
    """Name of the set -> label -> dB on luma, by Paddle's own layers: nothing is compiled."""
    options = EngineOptions("eager")
    candidates = [make_candidate(name, found, options) for name, found in trained.items()]
    sets = evaluate_sets(args.benchmarks, candidates, EvaluationOptions(args.scale), skipped)
    return {name: {method: score.psnr_db for method, score in summary.mean.items()}
            for name, summary in sets.items()}


def published_networks(scale):
    """Method as published -> a network of its layers."""
    families = {method: build(name, {"scale": scale, **options})
                for method, (name, options) in FAMILIES.items()}
    return {**{method: network for (method, of), network in PEERS.items() if of == scale},
            **families}


def milliseconds(networks, trained, engine, args):
    """Label or method -> of one core, where the engine has the network."""
    options, engines = EngineOptions(engine, threads=1), {}
    for name, network in networks.items():
        is_deep = layers_to_compile(network.graph) > MOST_COMPILED
        if giga_multiply_adds(network) > args.slowest or engine == "halide" and is_deep:
            continue
        try:
            engines[name] = make_engine(trained.get(name) or with_random_weights(network), options)
        except InputError:
            continue
    return frame_milliseconds(engines, args.rounds, (HEIGHT // args.scale, WIDTH // args.scale))


def giga_multiply_adds(network):
    """For a frame of 720p."""
    graph = network.graph
    return graph.multiply_adds * HEIGHT * WIDTH / graph.scale**2 / 1e9


def as_markdown(networks, results, times, args):
    head = ["network", "weights and biases", "G multiply-adds to 720p",
            *(f"{name} dB" for name in results), *(f"{name}, frames/s" for name in times)]
    rows = [row(name, network, results, times) for name, network in networks.items()]
    bicubic = [f"{found[BICUBIC]:.2f}" for found in results.values()]
    rows.insert(0, [BICUBIC, None, None, *bicubic, *[None] * len(times)])
    return f"# Networks at x{args.scale}\n\n{about()}\n\n{table(head, rows)}"


def row(name, network, results, times):
    """A network's row: without weights its dB are left out."""
    psnr_db = [f"{found[name]:.2f}" if name in found else None for found in results.values()]
    speeds = [f"{1000 / found[name]:.3g}" if name in found else None for found in times.values()]
    return [name, f"{network.graph.parameter_count:,}", f"{giga_multiply_adds(network):.3f}",
            *psnr_db, *speeds]


def draw(path, psnr_db, times, scale):
    """dB against the time by the fastest engine, ours and published."""
    fastest = {}
    for found in times.values():
        for name, value in found.items():
            fastest[name] = min(value, fastest.get(name, value))
    points = [CostPoint(row.method.replace(", luma", ""), fastest[row.method],
                        row.psnr_db[COST_SET], as_published=not row.run_by_us)
              for row in published(scale, [COST_SET]) if row.method in fastest]
    points += [CostPoint(name, fastest[name], value, ours=True)
               for name, value in psnr_db.items() if name in fastest]
    points.append(CostPoint(BICUBIC, None, psnr_db[BICUBIC]))
    axis = CostAxis("milliseconds of one core for a frame of 1280×720 in colour",
                    FormatStrFormatter("%g"), {"30 frames a second": REAL_TIME_MS})
    cost_figure(path, points, f"{COST_SET} x{scale}, Y: PSNR against time", axis)


if __name__ == "__main__":
    run(main)
