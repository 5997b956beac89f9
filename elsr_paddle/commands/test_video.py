"""Test a network on a clip: PSNR and SSIM of each frame beside bicubic's, GIFs and frames/s."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from elsr_paddle.commands import shared as cli
from elsr_paddle.errors import InputError

TIMED_FRAMES = 20


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a folder of HR frames, or a video file "
                        "(default: the demo's validation clip)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="take every Kth frame")
    parser.add_argument("--out", type=Path, default=cli.OUT, help="folder of the GIFs and the CSV")
    parser.add_argument("--fps", type=float, help="of the GIFs (default: the clip's, over K)")
    parser.add_argument("--gif-width", type=int, default=640, metavar="W", help="wider frames are "
                        "shrunk to W pixels; 0 keeps them (default: %(default)s)")
    parser.add_argument("--gif-frames", type=int, default=200, metavar="N",
                        help="a GIF ends after N frames; 0 takes all (default: %(default)s)")
    return cli.parse_evaluation(parser, argv, "test_video")


def main(argv=None):
    args = parse(argv)
    if args.every < 1 or args.gif_frames < 0:
        raise InputError(f"expected --every of 1 or more and --gif-frames of 0 or more but got "
                         f"{args.every} and {args.gif_frames}")
    from elsr_paddle.evaluation import tables as scoreboard
    from elsr_paddle.evaluation.compare import summary, timing, write_csv, write_json

    engine, model, about = cli.load_for_evaluation(args)
    clip = args.clip or demo_clip()
    skipped = cli.Skipped()
    records, lr_frames = evaluate(clip, args, engine, skipped)
    figures = {**summary(records), "speed": timing.measure(model, engine.upscale, lr_frames)}
    about = {"clip": str(clip), "every": args.every, **about, "skipped": skipped.messages}
    write_json(args.json, {**figures, **about})
    write_csv(args.out / "frames.csv", records)
    draw(records, args, engine.model_name)
    print(scoreboard.means_table(figures, engine.model_name))
    print(scoreboard.speed_table(figures["speed"]))
    if 0 < args.gif_frames < len(records):
        print(f"the GIFs hold {args.gif_frames} of {len(records)} frames; see --gif-frames")
    print(f"figures in {args.json} and {args.out / 'frames.csv'}, GIFs in {args.out}, "
          f"pictures in {args.plots}")
    return skipped.status()


def demo_clip():
    """The first validation clip of the demo set, which is built when missing."""
    from elsr_paddle.data.demo import ensure

    return min(path for path in (ensure(cli.DEMO, tqdm) / "val").iterdir() if path.is_dir())


def evaluate(clip, args, engine, skipped):
    """The records of all frames, and the first LR frames; the GIFs are written on the way."""
    from elsr_paddle.evaluation.compare import PROTOCOLS, evaluate_frames
    from elsr_paddle.video.read import comparison_gifs, frame_rate, numbered_frames

    options = {"scale": engine.scale, "protocol": PROTOCOLS[args.protocol],
               "degradation": args.degradation, "on_error": skipped}
    frames = tqdm(numbered_frames(clip, args.every, skipped), unit="frame", disable=None)
    records, lr_frames = [], []
    with comparison_gifs(args.out, args.fps or frame_rate(clip) / args.every,
                         label=engine.model_name.upper(), width=args.gif_width,
                         limit=args.gif_frames) as add_to_gifs:
        for item in evaluate_frames(frames, {engine.model_name: engine.upscale}, **options):
            add_to_gifs(item.bicubic, item.restored[engine.model_name].image)
            lr_frames += [item.lr] if len(lr_frames) < TIMED_FRAMES else []
            records.append(item.record())
        if not records:
            raise InputError(f"no frame of {clip} could be read")
    return records, lr_frames


def draw(records, args, model_name):
    from elsr_paddle.evaluation.figures import frames_figure

    labels = {"bicubic": "bicubic", model_name: model_name.upper()}
    psnr_db = {label: [record[method]["psnr_db"] for record in records]
               for method, label in labels.items()}
    frames_figure(args.plots / "psnr_frames.png", psnr_db)


