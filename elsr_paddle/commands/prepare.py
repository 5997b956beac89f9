"""Make files of LR/HR pairs (HDF5) for train.py from clips, photos, videos or REDS.

Writes train_x2.h5, train_x4.h5, val_x2.h5, val_x4.h5 (for --scale 2 4) into one folder. Without a
source it takes the demo set.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from elsr_paddle.commands import shared as cli
from elsr_paddle.data.clips import find_clips, find_reds, split_clips
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.degrade import DEGRADATIONS


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sources", nargs="*", help="folders of frames, folders of those, photos, videos")
    add("--reds", metavar="ROOT", help="REDS root, or `auto` to look for it under data/")
    add("--output", type=Path, default=cli.OUT / "pairs", help="folder (default: %(default)s)")
    add("--scale", type=int, nargs="+", default=[2, 4], help="default: 2 4")
    add("--degradation", choices=DEGRADATIONS, default="bicubic")
    add("--clips", type=int, metavar="N", help="only the first N clips")
    add("--every", type=int, default=1, metavar="K", help="only every K-th frame of a clip")
    add("--shrink", type=int, default=1, metavar="F", help="shrink HR by F first (reduced REDS: 4)")
    add("--hr-patch", type=int, metavar="P", help="cut training frames into PxP patches")
    add("--min-detail", type=float, default=0.0, help="drop patches flatter than this, in levels")
    add("--val-clips", nargs="+", metavar="CLIP",
        help="a number of clips, or their names (default: REDS' own, else a tenth)")
    add("--workers", type=int, help="threads (default: one per core)")
    add("--overwrite", action="store_true")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    if args.sources and args.reds:
        raise InputError("expected --reds or sources but got both")
    # Imported here so that --help works, and a missing package is told, without the extra `train`.
    from elsr_paddle.data.prepare import prepare

    train, val = choose_clips(args)
    skipped = {}  # validation may read a frame twice: each message once
    try:
        files = prepare(
            train,
            val,
            args.output,
            scales=args.scale,
            degradation=args.degradation,
            hr_patch=args.hr_patch,
            min_detail=args.min_detail,
            every=args.every,
            shrink=args.shrink,
            workers=args.workers,
            overwrite=args.overwrite,
            progress=partial(tqdm, unit="frame", disable=None),
            on_error=lambda error: skipped.setdefault(str(error)),
            source="REDS" if args.reds else ", ".join(Path(p).name for p in args.sources)[:1000],
        )
    finally:  # it says why when nothing at all could be used
        for message in skipped:
            print(f"left out: {message}", file=sys.stderr)
    summarise(files)


def choose_clips(args):
    """Clips for training and validation."""
    if args.reds:
        train, val = find_reds(args.reds)
    elif args.sources:
        train, val = find_clips(args.sources), []
    else:
        train, val = demo_clips(args)
    if args.clips is not None and args.clips < 1:
        raise InputError(f"expected at least 1 clip but got --clips {args.clips}")
    train, val = train[: args.clips], val[: args.clips]
    return (train, val) if val and not args.val_clips else split_clips(train, wanted(args, train))


def wanted(args, clips):
    """--val-clips as split_clips takes it; a plain number that names no clip is a count."""
    names = args.val_clips
    is_count = names and len(names) == 1 and names[0].isdecimal()
    if is_count and names[0] not in {clip.name.split("/")[-1] for clip in clips}:
        return int(names[0])
    return names


def demo_clips(args):
    from elsr_paddle.data import demo

    folder = demo.ensure(cli.DEMO)
    args.hr_patch = args.hr_patch or demo.HR_PATCH
    return find_clips([folder / "train"]), find_clips([folder / "val"])


def summarise(files):
    from elsr_paddle.data.pairs import Pairs

    for file in files:
        with Pairs(file, memory_budget=0) as pairs:
            (height, width), clips = pairs.hr_size, len(set(pairs.clips))
            megabytes = file.stat().st_size / 1e6
            print(f"{file}: {len(pairs)} pairs of {clips} clips, HR {width}x{height}, "
                  f"{megabytes:.1f} MB")
    if not any(file.name.startswith("val") for file in files):
        print("one clip only: nothing is left for validation, which train.py needs")


