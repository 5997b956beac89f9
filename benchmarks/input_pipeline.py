"""Measure the input pipeline alone: uint8 pairs of 64x64 -> 256x256 per second.

Ours, from memory, from the file and from PNG files, against the way of ELSR-torch, the PyTorch port
of ELSR: for each sample the HDF5 file is opened, two float32 NCHW arrays are read and divided by
255, and samples are collated to a batch. Rows are whole 256x256 patches in every case, the files
lie in the page cache, all ways deliver batches of 16 and are measured in turn; medians. ELSR-torch
is given as many processes as it would have on this machine's cores, and also none, as it ran.

    python benchmarks/input_pipeline.py [--pairs 512] [--seconds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import skimage.data

from elsr_paddle.data.clips import find_clips
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.folders import FolderPairs
from elsr_paddle.data.pairs import Pairs, pair_writer
from elsr_paddle.data.patches import PatchBatches
from elsr_paddle.imaging.io import write_image

SCALE, HR_PATCH, BATCH = 4, 256, 16
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def make_files(folder, count):
    """The same pairs in our format, in the port's, and as pictures."""
    photo = skimage.data.astronaut()
    rng = np.random.default_rng(0)
    pairs = []
    for top, left in rng.integers(0, 512 - HR_PATCH + 1, (count, 2)):
        pairs.append(make_pair(photo[top : top + HR_PATCH, left : left + HR_PATCH], SCALE))
    for number, (_, hr) in enumerate(pairs):
        write_image(folder / "pictures" / f"{number}.png", hr)
    with pair_writer(folder / "ours.h5", scale=SCALE) as writer:
        for lr, hr in pairs:
            writer.add(lr, hr, "astronaut")
    with h5py.File(folder / "port.h5", "w") as file:
        for name, side in (("lr", 0), ("hr", 1)):
            images = np.stack([pair[side] for pair in pairs])
            file[name] = images.transpose(0, 3, 1, 2).astype(np.float32)


def our_batches(path, budget, workers):
    with Pairs(path, memory_budget=budget) as pairs:
        batches = PatchBatches(pairs, hr_patch=HR_PATCH, batch_size=BATCH, seed=0)
        yield from batches.loader(0, 10**9, workers=workers)


def our_batches_of_pictures(folder, workers):
    pairs = FolderPairs(find_clips([folder]), SCALE)
    batches = PatchBatches(pairs, hr_patch=HR_PATCH, batch_size=BATCH, seed=0)
    yield from batches.loader(0, 10**9, workers=workers)


def port_sample(path, index):
    """TrainDataset.__getitem__: the file opened for one sample."""
    with h5py.File(path, "r") as file:
        return file["lr"][index] / np.float32(255), file["hr"][index] / np.float32(255)


def port_batch(path, indices):
    samples = [port_sample(path, index) for index in indices]
    return np.stack([lr for lr, _ in samples]), np.stack([hr for _, hr in samples])


def port_batches(path, processes):
    with h5py.File(path, "r") as file:
        count = len(file["lr"])
    rng = np.random.default_rng(0)
    # Bounded, and more than any run takes: a pool reads all its tasks ahead.
    tasks = (rng.permutation(count)[:BATCH] for _ in range(5000))
    work = partial(port_batch, path)
    if processes == 0:
        yield from map(work, tasks)
        return
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap(work, tasks)


def pairs_per_second(batches, seconds):
    """After a second of warming up."""
    start = time.perf_counter()
    counted = -1
    for lr, _ in batches:
        now = time.perf_counter()
        if counted < 0 and now - start > 1:
            start, counted = now, 0
        elif counted >= 0:
            counted += len(lr)
            if now - start > seconds:
                break
    batches.close()
    return counted / (time.perf_counter() - start)


def measure(folder, seconds, repeats):
    ways = {
        "ours, in memory, 1 thread": lambda: our_batches(folder / "ours.h5", 2**31, 1),
        "ours, in memory, 2 threads": lambda: our_batches(folder / "ours.h5", 2**31, 2),
        "ours, from the file, 1 thread": lambda: our_batches(folder / "ours.h5", 0, 1),
        "ours, PNG files, 1 thread": lambda: our_batches_of_pictures(folder / "pictures", 1),
        "ours, PNG files, 2 threads": lambda: our_batches_of_pictures(folder / "pictures", 2),
        "port, no workers": lambda: port_batches(folder / "port.h5", 0),
        f"port, {CORES} processes": lambda: port_batches(folder / "port.h5", CORES),
    }
    runs = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            runs[name].append(pairs_per_second(way(), seconds))
    return {name: statistics.median(rates) for name, rates in runs.items()}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        make_files(Path(temporary), args.pairs)
        rates = measure(Path(temporary), args.seconds, args.repeats)
    best = max(rate for name, rate in rates.items() if name.startswith("port"))
    for name, rate in rates.items():
        print(f"{name:30} {rate:8.0f} pairs/s   {rate / best:5.1f} x the port's best")
    if args.json:
        args.json.write_text(json.dumps(rates, indent=2))


if __name__ == "__main__":
    main()
