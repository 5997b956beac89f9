"""Measure how pairs are prepared from 720p PNG frames: here and in ELSR-torch, and its memory.

ELSR-torch, the PyTorch port of ELSR, does as its dataset.py and notebook say: every frame through
cv2.imread and cv2.resize into a second PNG file, all of them read back into lists, stacked, turned
into float32 NCHW and written at once. Two tasks: `whole` keeps 720p HR frames; `shrunk` makes
ELSR-torch's own data set, HR frames shrunk by 4 and LR from those. Each measurement is a process of
its own, both ways in turn; frames/s from file to file, libraries already imported; the median
counts.

    python benchmarks/prepare.py [--frames 60] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import matplotlib.pyplot as plt
import numpy as np
import skimage.data

from elsr_paddle.data.clips import find_clips
from elsr_paddle.data.prepare import prepare
from elsr_paddle.data.recipe import Recipe
from elsr_paddle.files import natural_key
from elsr_paddle.imaging.io import write_image

HEIGHT, WIDTH, SCALE = 720, 1280, 4
MULTIPLES = (1, 4, 16)  # of the input, for the curve of memory
SHRINK = {"whole": 1, "shrunk": 4}


def make_frames(folder, count):
    """720p PNG frames that slide over a mosaic of photos: real texture, about 1.5 MB each."""
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    tiles = [photo[:300, :450] for photo in photos]
    rows = [np.hstack([tiles[(i + j) % 3] for j in range(4)]) for i in range(3)]
    mosaic = np.vstack(rows)  # (900, 1800, 3)
    for i in range(count):
        top, left = i % 180, 3 * i % 520
        write_image(folder / f"{i:08d}.png", mosaic[top : top + HEIGHT, left : left + WIDTH])


def ours(folder, output, task, multiple=1):
    (clip,) = find_clips([folder])
    clips = [replace(clip, name=str(i)) for i in range(multiple)]
    prepare(clips, [], output, Recipe((SCALE,), shrinks=(SHRINK[task],)))


def ports(folder, output, task, multiple=1):
    frames = sorted(folder.iterdir(), key=natural_key) * multiple
    hr_paths = frames if task == "whole" else resized(frames, output / "hr")
    lr_paths = resized(hr_paths, output / "lr")
    with h5py.File(output / "train_X4.h5", "w") as file:
        for name, paths in (("lr", lr_paths), ("hr", hr_paths)):
            images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
            file[name] = np.array(images).transpose(0, 3, 1, 2).astype(np.float32)


def resized(paths, folder):
    """The port's resize_image and plt.imsave: one smaller PNG a frame."""
    folder.mkdir(parents=True)
    made = []
    for i, path in enumerate(paths):
        image = cv2.imread(str(path))
        small = cv2.resize(image, dsize=(image.shape[1] // SCALE, image.shape[0] // SCALE))
        made.append(folder / f"{i}.png")
        plt.imsave(made[-1], cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    return made


WAYS = {"ours": ours, "port": ports}


def peak_megabytes():
    """Most physical memory this process has held (Linux), libraries included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_here(way, task, folder, multiple):
    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        start = time.perf_counter()
        WAYS[way](folder, Path(output), task, multiple)
        seconds = time.perf_counter() - start
    count = len(list(folder.iterdir())) * multiple
    return {"frames_per_second": count / seconds, "peak_megabytes": peak_megabytes()}


def measure(way, task, folder, multiple=1):
    command = [sys.executable, __file__, "--measure", way, task, str(folder), str(multiple)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(task, folder, repeats):
    """Medians of both ways for a task, measured in turn."""
    runs = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, results in runs.items():
            results.append(measure(way, task, folder))
    return {
        way: {key: statistics.median(run[key] for run in results) for key in results[0]}
        for way, results in runs.items()
    }


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="for temporary files (default: the system's)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.measure:
        way, task, folder, multiple = args.measure
        print(json.dumps(measure_here(way, task, Path(folder), int(multiple))))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary) / "frames"
        make_frames(folder, args.frames)
        result = {task: compare(task, folder, args.repeats) for task in SHRINK}
        result["memory"] = {m: measure("ours", "whole", folder, m) for m in MULTIPLES}
    report(result, args.frames)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


def report(result, frames):
    for task in SHRINK:
        for way, figures in result[task].items():
            print(f"{task:7} {way:5} {figures['frames_per_second']:7.1f} frames/s, "
                  f"peak {figures['peak_megabytes']:6.0f} MB")
        ratio = result[task]["ours"]["frames_per_second"]
        ratio /= result[task]["port"]["frames_per_second"]
        print(f"{task:7} ours / port {ratio:.1f}")
    for multiple, figures in result["memory"].items():
        decoded = multiple * frames * HEIGHT * WIDTH * 3 / 2**30
        print(f"memory  ours, {multiple * frames} frames ({decoded:.2f} GiB decoded): "
              f"peak {figures['peak_megabytes']:.0f} MB")


if __name__ == "__main__":
    main()
