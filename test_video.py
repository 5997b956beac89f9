"""Test a network on a clip: PSNR and SSIM of each frame beside bicubic's, GIFs and frames/s."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from elsr_paddle import cli
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
    from elsr_paddle.evaluation import summary, write_csv, write_json
    from elsr_paddle.report import frames_figure
    from elsr_paddle.scoreboard import means_table

    engine, model, about = cli.load_for_evaluation(args)
    clip = args.clip or demo_clip()
    skipped = cli.Skipped()
    records, lr_frames = evaluate(clip, args, engine, skipped)
    figures = summary(records)
    speed = measure_speed(engine, model, lr_frames)
    write_json(args.json, {**figures, "clip": str(clip), "every": args.every, **about,
                           "speed": speed, "skipped": skipped.messages})
    write_csv(args.out / "frames.csv", records)
    label = engine.model_name.upper()
    psnr_db = {name: [record[key]["psnr_db"] for record in records]
               for name, key in (("bicubic", "bicubic"), (label, engine.model_name))}
    frames_figure(args.plots / "psnr_frames.png", psnr_db)
    print(means_table(figures, engine.model_name))
    print_speed(speed)
    print(f"figures in {args.json} and {args.out / 'frames.csv'}, GIFs in {args.out}, "
          f"pictures in {args.plots}")
    return skipped.status()


def demo_clip():
    """The first validation clip of the demo set, which is built when missing."""
    from elsr_paddle.demo import ensure

    return min(path for path in (ensure(cli.DEMO, tqdm) / "val").iterdir() if path.is_dir())


def evaluate(clip, args, engine, skipped):
    """The records of all frames, and the first LR frames; the GIFs are written on the way."""
    from elsr_paddle.evaluation import PROTOCOLS, evaluate_image
    from elsr_paddle.video import frame_rate, numbered_frames

    fps = args.fps or frame_rate(clip) / args.every
    frames = tqdm(numbered_frames(clip, args.every, skipped), unit="frame", disable=None)
    records, lr_frames = [], []
    with ExitStack() as stack:
        gifs = None
        for number, hr in frames:
            item = evaluate_image(
                hr, engine.upscale, scale=engine.scale, protocol=PROTOCOLS[args.protocol],
                degradation=args.degradation, seed=number, name=str(number),
            )  # fmt: skip
            gifs = gifs or open_gifs(stack, args, fps)
            if not args.gif_frames or len(records) < args.gif_frames:
                add_to_gifs(gifs, item, engine)
            lr_frames += [item.lr] if len(lr_frames) < TIMED_FRAMES else []
            records.append(item.record(engine.model_name))
    if not records:
        raise InputError(f"no frame of {clip} could be evaluated")
    if args.gif_frames and len(records) > args.gif_frames:
        print(f"the GIFs hold the first {args.gif_frames} of {len(records)} frames; --gif-frames")
    return records, lr_frames


def open_gifs(stack, args, fps):
    from elsr_paddle.video import open_gif

    widths = {"bicubic_video": args.gif_width, "sr_video": args.gif_width, "side_by_side": 0}
    return {name: stack.enter_context(open_gif(args.out / f"{name}.gif", fps, width=width))
            for name, width in widths.items()}


def add_to_gifs(gifs, item, engine):
    """Each GIF gets frames of its own kind: the port wrote its SR frames into both."""
    from elsr_paddle.video import side_by_side

    label = engine.model_name.upper()
    gifs["bicubic_video"].add(item.bicubic)
    gifs["sr_video"].add(item.sr)
    gifs["side_by_side"].add(side_by_side({"bicubic": item.bicubic, label: item.sr}))


def measure_speed(engine, model, lr_frames):
    from elsr_paddle import timing

    height, width = lr_frames[0].shape[:2]
    seconds = {
        "network": timing.network_seconds(model, lr_frames[0], TIMED_FRAMES),
        "image_to_image": timing.engine_seconds(engine.upscale, lr_frames[0], TIMED_FRAMES),
        "file_to_file": timing.file_to_file_seconds(engine.upscale, lr_frames),
    }
    counted = {"file_to_file": len(lr_frames)}
    return {"lr_height": height, "lr_width": width, **{
        name: {"median_seconds": value, "fps": 1 / value,
               "frames": counted.get(name, TIMED_FRAMES)}
        for name, value in seconds.items()}}


def print_speed(speed):
    for name, words in (("network", "the network alone"),
                        ("image_to_image", "uint8 picture to uint8 picture"),
                        ("file_to_file", "PNG file to PNG file")):
        row = speed[name]
        print(f"{row['fps']:8.1f} frames/s, {words} ({speed['lr_width']}x{speed['lr_height']} LR, "
              f"median of {row['frames']} frames after warm-up)")


if __name__ == "__main__":
    cli.run(main)
