"""Fit how aliasing is told from pixels, and measure what comes of it.

    python benchmarks/aliasing.py --photos CID22 gb82 budgie
    python benchmarks/aliasing.py --benchmarks DIR [--pictures 20]

The first prints the numbers that stand in elsr_paddle/imaging/aliasing.py, and how many pictures,
of photos that were left out of the fit, they tell right. The second prints what is gained over
bicubic by the network for clean pictures, by that for aliased ones, and by the one that is taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from elsr_paddle.commands.shared import run
from elsr_paddle.engines.choose import load_engine
from elsr_paddle.engines.engine import MAX_PIXELS
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.evaluation.protocol import PROTOCOLS, score
from elsr_paddle.evaluation.real_sources import DOWNSAMPLERS, PICTURES
from elsr_paddle.evaluation.results import BICUBIC
from elsr_paddle.evaluation.stills import find_sets
from elsr_paddle.evaluation.tables import table
from elsr_paddle.imaging.aliasing import aliasing, detail
from elsr_paddle.imaging.io import is_gray_file, list_images, read_image
from elsr_paddle.imaging.luma import rgb_to_luma
from elsr_paddle.imaging.resize import imresize, modcrop
from elsr_paddle.networks import zoo

SCALES = (2, 3, 4)
ALIASED = ("cubic, not antialiased", "linear, not antialiased", "nearest")
# A box lets some aliasing through, so neither answer is taught. At x2 OpenCV's linear is a box.
BETWEEN = (("area (box)", 2), ("area (box)", 3), ("area (box)", 4), ("linear, not antialiased", 2))
HELD_OUT = 4  # every fourth photo
NEWTON_STEPS, RIDGE = 20, 1e-4
# What the wrong network costs where aliasing is missed, by where it is seen in vain: 2.67 dB by
# 0.71, means of `elsr-m` on every eighth of the photos.
MISSED = 3.74


def main(argv=None):
    """Print the tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--benchmarks", type=Path, metavar="DIR", help="Set5/HR and so on")
    parser.add_argument("--pictures", type=int, help="of each set, spread evenly (default: all)")
    parser.add_argument("--quality", default="balanced", choices=zoo.LADDER, help="which networks "
                        "(default: %(default)s)")
    args = parser.parse_args(argv)
    if args.photos:
        print(fitted([path for folder in args.photos for path in list_images(folder)]))
    if args.benchmarks:
        print(measured(args.benchmarks, args.pictures, args.quality))
    return 0


def fitted(paths):
    """The weights, and the share that counts as aliased of each kind, as text."""
    rows = [(number, kind, scale, detail(rgb_to_luma(lr))) for number, path in enumerate(paths)
            for kind, scale, lr in sources(read_image(path), number)]
    sure = [row for row in rows if row[1:3] not in BETWEEN and row[0] % HELD_OUT]
    details = np.stack([row[3] for row in sure])
    weights, shift = logistic(details, np.array([row[1] in ALIASED for row in sure]))
    shares = {}
    for number, kind, scale, values in rows:
        if number % HELD_OUT == 0:
            shares.setdefault(kind, {}).setdefault(scale, []).append(values @ weights + shift > 0)
    cells = [[kind, *(f"{np.mean(found[scale]):.0%}" if scale in found else None
                      for scale in (1, *SCALES))] for kind, found in shares.items()]
    numbers = ", ".join(f"{weight:.3f}" for weight in weights)
    return (f"WEIGHTS, SHIFT = ({numbers}), {shift:.3f}\n\n"
            + table(["counts as aliased", "x1", *(f"x{scale}" for scale in SCALES)], cells))


def sources(photo, number):
    """Yield (kind, scale, picture): the photo itself, and LR by all that may happen to it."""
    yield "photos", 1, photo
    for scale in SCALES:
        hr = modcrop(photo, scale)
        for kind, degradation in (PICTURES | DOWNSAMPLERS).items():
            yield kind, scale, degradation(hr[None], scale, number)[0]


def logistic(inputs, aliased):
    """Weights of a logistic regression, by Newton's method, and the shift above which to act."""
    mean, deviation = inputs.mean(0), inputs.std(0)
    design = np.column_stack([(inputs - mean) / deviation, np.ones(len(inputs))])
    importance = np.where(aliased, 0.5 / aliased.mean(), 0.5 / (1 - aliased.mean()))
    found = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (importance * (aliased - likely)) - RIDGE * len(inputs) * found
        bend = (design.T * (importance * likely * (1 - likely))) @ design
        found += np.linalg.solve(bend + RIDGE * len(inputs) * np.eye(len(found)), slope)
    weights = found[:-1] / deviation
    return weights, found[-1] - weights @ mean + np.log(MISSED)


def measured(folder, pictures, quality):
    """A table of what is gained on Y for each set, scale and way of shrinking."""
    ways = {scale: {kind: upscaler(quality, kind, scale) for kind in ("clean", "aliased")}
            for scale in SCALES}
    rows = []
    for name, stills in find_sets(folder, 1, given_lr=False).items():
        step = max(1, len(stills) // pictures) if pictures else 1
        for scale in SCALES:
            for kind, degradation in DOWNSAMPLERS.items():
                found = [psnrs(still.path, degradation, scale, ways[scale])
                         for still in stills[::step]]
                rows.append([f"{name} x{scale}, {kind}", *gains(np.array(found))])
    return table(["LR", BICUBIC, "clean", "aliased", "auto", "aliased in"], rows)


def upscaler(quality, kind, scale):
    """The network of a quality for a kind of source."""
    files = zoo.of_quality(zoo.available()[0], quality, kind)
    return Upscaler(lambda of: load_engine(files[of]), files, Target(scale=scale), MAX_PIXELS)


def psnrs(path, degradation, scale, ways):
    """PSNR of bicubic, of both networks and of the one that is taken, and whether it is aliased."""
    hr, gray = modcrop(read_image(path), scale), is_gray_file(path)
    lr = degradation(hr[None], scale)[0]
    bicubic, clean, aliased = (
        score(hr, sr, PROTOCOLS["y"], scale=scale, gray=gray, structure=False).psnr_db
        for sr in (imresize(lr, scale=scale), *(way.upscale(lr) for way in ways.values())))
    told = aliasing(rgb_to_luma(lr)) > 0
    return bicubic, clean, aliased, aliased if told else clean, told


def gains(found):
    """Cells of a row: dB of bicubic, what others gain over it, the share told to be aliased."""
    bicubic, *others, told = found.mean(0)
    return [bicubic, *(f"{other - bicubic:+.2f}" for other in others), f"{told:.0%}"]


if __name__ == "__main__":
    run(main)
