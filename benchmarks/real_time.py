"""Enlarge a video file to 1080p, file to file: frames a second of ESPCN, ELSR and bicubic.

ESPCN's paper claims 1080p in real time on a graphics card of 2015. Here 360p becomes 1080p at x3
and 270p at x4, H.264 with sound to H.264 (libx264, veryfast, CRF 20), each run a process of its own
from start to end, in turn; medians, and the median of the ratios within a turn.

    python benchmarks/real_time.py [--espcn FILE ...] [--seconds 10] [--repeats 5]

Without trained weights of ESPCN it takes fresh ones, which repeat pixels: they take the same time.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path

from file_to_file import enlarge, ffmpeg, make_clip, race
from machine import about

from elsr_paddle.evaluation.tables import table
from elsr_paddle.networks import build
from elsr_paddle.networks.paddle_layer import PaddleNetwork, to_arrays
from elsr_paddle.networks.weights import read, save_tensors

SIZES = {3: (360, 640), 4: (270, 480)}  # scale -> LR height and width
BICUBIC = "ffmpeg bicubic"  # as `race` calls what it compares with


def main(argv=None):
    """Print a table for each scale."""
    args = parse(argv)
    given = {read(path).scale: path for path in args.espcn}
    print(f"# 1080p, file to file\n\n{about()}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for scale, (height, width) in SIZES.items():
            espcn = given.get(scale) or fresh(folder / f"espcn_x{scale}.safetensors", scale)
            clip = folder / f"{height}.mp4"
            make_clip(clip, height, width, args.seconds)
            results = race(ways(scale, espcn), clip, folder, args.repeats, None)
            print(f"\n## {width}x{height} -> 1920x1080, x{scale}\n\n{as_table(results)}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--espcn", type=Path, nargs="*", default=[], metavar="FILE",
                        help="trained weights, one file a scale")
    parser.add_argument("--seconds", type=int, default=10, help="of the clips (default: 10)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default: 5)")
    args = parser.parse_args(argv)
    if not shutil.which("ffmpeg"):
        parser.error("needs the command ffmpeg: apt-get install ffmpeg")
    return args


def fresh(path, scale):
    """The file of an ESPCN that has not been trained."""
    network = build("espcn", {"scale": scale})
    save_tensors(path, to_arrays(PaddleNetwork(network)),
                 {"model": network.name, "config": network.config})
    return path


def ways(scale, espcn):
    """Name -> the command for a source and an output."""
    return {
        BICUBIC: partial(ffmpeg, scale=scale),
        "espcn": partial(ours, scale, ["--weights", espcn]),
        "elsr": partial(ours, scale, ["--model", "elsr"]),
        "elsr-y": partial(ours, scale, ["--model", "elsr-y"]),
    }


def ours(scale, network, source, output, _):
    return enlarge(source, output, *network, scale=scale)


def as_table(results):
    rows = [[name, f"{found['frames_per_second']:.1f}", f"{found['times_ffmpeg']:.2f}"]
            for name, found in results.items()]
    return table(["way", "frames/s", "time / bicubic's"], rows)


if __name__ == "__main__":
    main()
