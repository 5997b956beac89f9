"""Measure luma and colour planes of enlarged films, beside those of ffmpeg's bicubic.

    python benchmarks/colour_planes.py --clips DIR [--models elsr-y elsr] [--frames 12]

Each clip is shrunk by MATLAB's bicubic in RGB and stored as 4:2:0 without loss. That film goes
through `elsr` and through `ffmpeg -vf scale=iw*4:ih*4:flags=bicubic`. PSNR is that of the planes
against those of the clip in 4:2:0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import av
import numpy as np

from elsr_paddle.commands.shared import run
from elsr_paddle.evaluation.tables import table
from elsr_paddle.imaging.degrade import Bicubic
from elsr_paddle.imaging.metrics import psnr
from elsr_paddle.imaging.resize import modcrop
from elsr_paddle.video.colour import planes_of
from elsr_paddle.video.read import read_frames

ROOT = Path(__file__).parents[1]
SCALE = 4
FFMPEG = "ffmpeg bicubic"


def main(argv=None):
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", nargs="+", default=["elsr-y", "elsr"], metavar="NAME")
    parser.add_argument("--frames", type=int, default=12, help="of each clip, the first")
    args = parser.parse_args(argv)
    rows = []
    for clip in sorted(args.clips.iterdir()):
        frames = np.stack([modcrop(frame, 2 * SCALE)
                           for frame in islice(read_frames(clip), args.frames)])
        with tempfile.TemporaryDirectory() as folder:
            found = measure(frames, args.models, Path(folder))
        rows += [[f"{clip.name}, {plane}", *values] for plane, *values in zip("YUV", *found)]
    print(table(["PSNR in dB", FFMPEG, *args.models], rows))
    return 0


def measure(frames, models, folder):
    """PSNR of the three planes, means over the frames, for ffmpeg and for each model."""
    hr, lr, bicubic = (folder / f"{name}.mkv" for name in ("hr", "lr", "bicubic"))
    store(frames, hr)
    store(Bicubic()(frames, SCALE), lr)
    ffmpeg("-i", lr, "-vf", f"scale=iw*{SCALE}:ih*{SCALE}:flags=bicubic", "-c:v", "ffv1", bicubic)
    made = [bicubic, *(enlarge(lr, folder / f"{model}.y4m", model) for model in models)]
    wanted = planes(hr)
    return [[np.mean([psnr(one[plane], other[plane]) for one, other in zip(wanted, planes(path))])
             for plane in range(3)] for path in made]


def store(frames, path):
    """Write RGB frames as 4:2:0, BT.601, without loss."""
    height, width = frames.shape[1:3]
    ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-", "-vf",
           "scale=out_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_int", "-pix_fmt",
           "yuv420p", "-c:v", "ffv1", path, input=frames.tobytes())


def ffmpeg(*arguments, **options):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, arguments)], check=True, **options)


def enlarge(source, output, model):
    """Frames by `elsr`, as they leave it for another program."""
    with output.open("wb") as file:
        subprocess.run([sys.executable, ROOT / "upscale.py", source, "-o", "-", "--scale",
                        str(SCALE), "--model", model], check=True, stdout=file)
    return output


def planes(path):
    """The planes of every frame of a film in 4:2:0: a list of [Y, U, V]."""
    with av.open(str(path)) as film:
        return [[plane.copy() for plane in planes_of(frame)] for frame in film.decode(video=0)]


if __name__ == "__main__":
    run(main)
