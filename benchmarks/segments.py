"""Measure what segments cost: a film in one piece and in segments, in turn, each a process.

Prints, for each turn, user and system seconds (which other load on the machine hardly changes),
wall seconds and bytes, and the ratios. The same film is made side by side, too: by as many
processes as there are cores, each with one thread and its share of the film.

    python benchmarks/segments.py FILM [--minutes 5] [--turns 3] [--scale 4]
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from file_to_file import repeat_clip
from machine import about

ROOT = Path(__file__).parents[1]


def measured(source, outputs, *options):
    """Enlarge a film once for each output, at once: (processor seconds, wall seconds, bytes)."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    runs = [subprocess.Popen([sys.executable, ROOT / "upscale.py", source, "-o", output,
                              "--overwrite", "--progress", "none", *options],
                             stdout=subprocess.DEVNULL) for output in outputs]
    states = [run.wait() for run in runs]
    if any(states):
        raise SystemExit("a film failed")
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return busy, wall, sum(output.stat().st_size for output in outputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scale", type=int, default=4)
    args = parser.parse_args()
    print(about())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, share = (folder / f"{kind}{args.film.suffix}" for kind in ("long", "share"))
        with av.open(str(args.film)) as film:
            seconds = film.duration / av.time_base
        cores = os.cpu_count()
        times = math.ceil(60 * args.minutes / seconds / cores)
        repeat_clip(args.film, source, times * cores)
        repeat_clip(args.film, share, times)
        whole, shares = [folder / "whole.mp4"], [folder / f"{core}.mp4" for core in range(cores)]
        scale = "--model", "elsr-y", "--scale", str(args.scale)
        ways = {"one piece": (source, whole, *scale, "--segment", "0"),
                "segments": (source, whole, *scale, "--segment", "10"),
                "side by side": (share, shares, *scale, "--segment", "10", "--threads", "1")}
        ratios = {way: [] for way in ways}
        for turn in range(args.turns):
            rows = {way: measured(*given) for way, given in ways.items()}
            for way, row in rows.items():
                ratios[way].append([new / old for old, new in zip(rows["one piece"], row)])
                busy, wall, size = row
                print(f"turn {turn + 1}, {way}: {busy:.1f} s of processors, {wall:.1f} s, "
                      f"{size:,} bytes", flush=True)
    for way in ("segments", "side by side"):
        busy, wall, size = (statistics.median(column) for column in zip(*ratios[way]))
        print(f"{way} / one piece: processors {busy:.3f}, wall {wall:.3f}, bytes {size:.4f}")


if __name__ == "__main__":
    main()
