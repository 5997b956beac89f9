"""Score networks on clips that were blurred and decimated: against bilinear and bicubic.

At x2: the network in each colour space. At x4: its x2 twice, and one of x4. LR frames are made by a
Gaussian blur and decimation; PSNR in dB over full frames in RGB, and on Y.

    python benchmarks/frames_study.py CLIP ... --x2 FILE --x4 FILE [--every 4]
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import cv2

from elsr_paddle.commands.shared import Skipped, run
from elsr_paddle.commands.variations import COLOUR_SPACES
from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.evaluation.compare import evaluate_frames
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.results import summarise
from elsr_paddle.evaluation.tables import table
from elsr_paddle.networks.weights import read
from elsr_paddle.video.read import numbered_frames

DEGRADATION = "gaussian_decimate"
PROTOCOLS = ("rgb", "y")


def main(argv=None):
    """Print a table for x2 and one for x4."""
    args, skipped = parse(argv), Skipped()
    double, fourfold = read(args.x2), read(args.x4)
    for scale, ways in ((2, in_colour_spaces(double)), (4, twice_or_once(double, fourfold))):
        rows = [row for clip in args.clips for row in clip_rows(clip, scale, ways, args, skipped)]
        methods = ["bicubic", "bilinear", *ways]
        print(f"## x{scale}\n\n{table(['clip, PSNR in dB', 'frames', *methods], rows)}\n")
    return skipped.status()


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", help="folders of HR frames, or videos")
    parser.add_argument("--x2", type=Path, required=True, metavar="FILE", help="network of x2")
    parser.add_argument("--x4", type=Path, required=True, metavar="FILE", help="network of x4")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="take every Kth frame")
    return parser.parse_args(argv)


def in_colour_spaces(trained):
    """Name -> function from LR image to image."""
    return {space: make_engine(trained, EngineOptions(colour_space=space)).upscale
            for space in COLOUR_SPACES}


def twice_or_once(double, fourfold):
    """As `in_colour_spaces`."""
    return {"x2 twice": make_engine(double, EngineOptions(passes=2)).upscale,
            "x4 once": make_engine(fourfold).upscale}


def clip_rows(clip, scale, ways, args, skipped):
    """A row for each protocol."""
    upscalers = {"bilinear": partial(bilinear, scale=scale), **ways}
    for protocol in PROTOCOLS:
        options = EvaluationOptions(scale, protocol, DEGRADATION)
        frames = numbered_frames(clip, args.every, skipped)
        records = [item.record() for item in evaluate_frames(frames, upscalers, options, skipped)]
        mean = summarise(records).mean
        yield [f"{clip.stem}, {protocol.upper()}", len(records),
               *(score.psnr_db for score in mean.values())]


def bilinear(lr, scale):
    """Of pixels whose centres lie as those of bicubic."""
    height, width = lr.shape[:2]
    return cv2.resize(lr, (scale * width, scale * height), interpolation=cv2.INTER_LINEAR)


if __name__ == "__main__":
    run(main)
