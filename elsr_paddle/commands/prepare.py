"""Make files of LR/HR pairs (HDF5) for `train` from clips, photos, videos or REDS.

Writes train_x2.h5, train_x4.h5, val_x2.h5, val_x4.h5 (for --scale 2 4) into one folder. Without a
source it takes the demo set.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from elsr_paddle.commands.arguments import Parser, add_options, given_options
from elsr_paddle.commands.shared import DEMO, OUT, run
from elsr_paddle.data.clips import Clip, find_clips, find_reds, split_clips
from elsr_paddle.data.recipe import Job, Recipe
from elsr_paddle.errors import InputError

GUESSES_SHOWN = 5  # folders taken for one clip; a data set may have hundreds


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="elsr prepare", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("sources", nargs="*", help="folders of frames, folders of those, photos, videos")
    add("--reds", metavar="ROOT", help="REDS root, or `auto` to look for it in ./data, ../data and "
        "/home/aistudio/data, where AI Studio mounts data sets")
    add("--output", type=Path, default=OUT / "pairs", help="folder (default: %(default)s)")
    add("--photos", action="store_true",
        help="every picture is a photo, also in a folder where all share one size")
    add("--clips", type=int, metavar="N", help="only the first N clips")
    add("--val-clips", nargs="+", metavar="CLIP",
        help="a number of clips, or their names (default: REDS' own, else a tenth)")
    add("--scale", dest="scales", type=int, nargs="+", metavar="S", help="default: 2 4")
    add("--shrink", dest="shrinks", type=float, nargs="+", metavar="F", help="shrink HR by F first "
        "(reduced REDS: 4); 1 2 takes it at its size and at half of it (default: 1)")
    add_options(parser, Recipe)
    add_options(parser, Job)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    check(args)
    # Imported here so that --help works, and a missing package is told, without the extra `train`.
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.data.prepare import prepare

    recipe = make_recipe(args)
    train, val = choose_clips(args)
    skipped = {}  # validation may read a frame twice: each message once
    job = Job(
        **given_options(args, Job),
        source="REDS" if args.reds else ", ".join(Path(p).name for p in args.sources)[:1000],
        progress=partial(bar, unit="frames"),
        on_error=lambda error: skipped.setdefault(str(error)),
    )
    try:
        files = prepare(train, val, args.output, recipe, job)
    finally:  # it says why when nothing at all could be used
        for message in skipped:
            print(f"left out: {message}", file=sys.stderr)
    summarise(files)


def check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together."""
    if "" in (*args.sources, args.reds):
        raise InputError("expected the name of a folder, a picture or a video but got an empty one")
    if args.sources and args.reds:
        raise InputError("expected --reds or sources but got both")
    if args.photos and not args.sources:
        raise InputError("expected folders of photos beside --photos but got none")
    if args.clips is not None and args.clips < 1:
        raise InputError(f"expected at least 1 clip but got --clips {args.clips}")


def make_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the flags give; patches are cut for the demo set, whose frames differ."""
    given = given_options(args, Recipe)
    given.update({name: tuple(given[name]) for name in ("scales", "shrinks") if name in given})
    if args.sources or args.reds or "hr_patch" in given:
        return Recipe(**given)
    from elsr_paddle.data.demo import HR_PATCH

    return Recipe(**given, hr_patch=HR_PATCH)


def choose_clips(args: argparse.Namespace) -> tuple[list[Clip], list[Clip]]:
    """Clips for training and validation."""
    if args.reds:
        train, val = find_reds(args.reds)
    elif args.sources:
        train, val = find_clips(args.sources, args.photos), []
        tell_guesses(train)
    else:
        train, val = demo_clips()
    train, val = train[: args.clips], val[: args.clips]
    return (train, val) if val and not args.val_clips else split_clips(train, wanted(args, train))


def tell_guesses(clips: list[Clip]) -> None:
    """Say which folders of pictures were taken for one clip, since photos may share a size, too."""
    guesses = [clip for clip in clips if len(clip.paths) > 1]
    for clip in guesses[:GUESSES_SHOWN]:
        width, height = clip.picture_size() or ("?", "?")
        print(f"{clip.paths[0].parent}/: {len(clip.paths)} pictures of {width}x{height} taken for "
              "one clip; --photos takes them as photos")
    if len(guesses) > GUESSES_SHOWN:
        print(f"and {len(guesses) - GUESSES_SHOWN} more folders, each taken for one clip")


def wanted(args: argparse.Namespace, clips: list[Clip]) -> list[str] | int | None:
    """--val-clips as split_clips takes it; a plain number that names no clip is a count."""
    names = args.val_clips
    is_count = names and len(names) == 1 and names[0].isdecimal()
    if is_count and names[0] not in {clip.name.split("/")[-1] for clip in clips}:
        return int(names[0])
    return names


def demo_clips() -> tuple[list[Clip], list[Clip]]:
    from elsr_paddle.data import demo

    folder = demo.ensure(DEMO)
    return find_clips([folder / "train"]), find_clips([folder / "val"])


def summarise(files: list[Path]) -> None:
    from elsr_paddle.data.pairs import Pairs

    for file in files:
        with Pairs(file, memory_budget=0) as pairs:
            (height, width), clips = pairs.hr_size, len(set(pairs.clips))
            megabytes = file.stat().st_size / 1e6
            print(f"{file}: {len(pairs)} pairs of {clips} clip{'s' * (clips > 1)}, "
                  f"HR {width}x{height}, {megabytes:.1f} MB")
    if not any(file.name.startswith("val") for file in files):
        print("one clip only: nothing is left for validation, which train.py needs; give more "
              "clips, or --photos if its pictures are photos")


if __name__ == "__main__":
    run(main)
