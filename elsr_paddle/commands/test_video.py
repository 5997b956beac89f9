"""Test a network on a clip: PSNR and SSIM of each frame beside bicubic's, GIFs and frames/s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.evaluating import (
    about,
    add_evaluation_flags,
    begin_report,
    choose_trained,
    evaluation_options,
    load_candidate,
)
from elsr_paddle.commands.shared import DEMO, OUT, Skipped, run
from elsr_paddle.errors import InputError

TIMED_FRAMES = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run `elsr test-video`; 0, or 2 if some of the frames were skipped."""
    args = _parser().parse_args(argv)
    if args.every < 1 or args.gif_frames < 0:
        raise InputError(f"expected --every of 1 or more and --gif-frames of 0 or more but got "
                         f"{args.every} and {args.gif_frames}")
    from elsr_paddle.evaluation.results import summarise, write_csv, write_json

    candidate, skipped = load_candidate(choose_trained(args), args), Skipped()
    model = _paddle_network(candidate)
    clip = args.clip or _demo_clip()
    report = begin_report(args, [candidate])
    records, lr_frames = _evaluate(clip, args, candidate, skipped, report)
    summary, speed = summarise(records), _speed(model, candidate, lr_frames)
    options = evaluation_options(args, candidate.scale)
    write_json(args.json, {**summary.as_dict(), "speed": speed, "clip": str(clip),
                           "every": args.every, **about(candidate, options),
                           "skipped": skipped.messages})
    write_csv(args.out / "frames.csv", records)
    _draw(records, args.plots, candidate.name)
    _tell(summary, speed, args, candidate.name)
    if report:
        report.write(args.report)
        print(f"the first frames beside bicubic in {args.report}")
    return skipped.status()


def _parser():
    parser = Parser(prog="elsr test-video", description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a folder of HR frames, or a video file "
                        "(default: the demo's validation clip)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="take every Kth frame")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the GIFs and the CSV")
    parser.add_argument("--fps", type=float, help="of the GIFs (default: the clip's, over K)")
    parser.add_argument("--gif-width", type=int, default=640, metavar="W", help="wider frames are "
                        "shrunk to W pixels; 0 keeps them (default: %(default)s)")
    parser.add_argument("--gif-frames", type=int, default=200, metavar="N",
                        help="a GIF ends after N frames; 0 takes all (default: %(default)s)")
    add_evaluation_flags(parser, "test_video")
    return parser


def _demo_clip():
    """The first validation clip of the demo set, which is built when missing."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.data.demo import ensure

    return min(path for path in (ensure(DEMO, bar) / "val").iterdir() if path.is_dir())


def _paddle_network(candidate):
    """The network as Paddle runs it, whose time is measured, on the device of the engine."""
    from elsr_paddle.framework import on_device
    from elsr_paddle.networks.paddle_layer import load_model

    with on_device(candidate.engine.device):
        return load_model(candidate.trained)


def _evaluate(clip, args, candidate, skipped, report):
    """The records of all frames, and the first LR frames; GIFs and report are made on the way."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.evaluation.candidates import upscalers
    from elsr_paddle.evaluation.compare import evaluate_frames
    from elsr_paddle.video.read import numbered_frames

    options = evaluation_options(args, candidate.scale)
    frames = bar(numbered_frames(clip, args.every, skipped), desc="clip", unit="frames")
    records, lr_frames = [], []
    shown = _reported_clip(clip, args, candidate) if report else None
    with _gifs(clip, args, candidate.name) as add_to_gifs:
        for item in evaluate_frames(frames, upscalers([candidate]), options, skipped):
            add_to_gifs(item.bicubic, item.restored[candidate.name].image)
            if shown:
                shown.add_item(item)
            lr_frames += [item.lr] if len(lr_frames) < TIMED_FRAMES else []
            records.append(item.record())
        if not records:
            raise InputError(f"no frame of {clip} could be read")
    if shown:
        report.add_clip(clip.name, shown)
    return records, lr_frames


def _reported_clip(clip, args, candidate):
    from elsr_paddle.evaluation.report import ReportClip

    return ReportClip(candidate.name, _frame_rate(clip, args))


def _frame_rate(clip, args):
    from elsr_paddle.video.read import frame_rate

    return args.fps or frame_rate(clip) / args.every


def _gifs(clip, args, network):
    from elsr_paddle.video.gif import comparison_gifs

    return comparison_gifs(args.out, _frame_rate(clip, args), label=network.upper(),
                           width=args.gif_width, limit=args.gif_frames)


def _speed(model, candidate, lr_frames):
    from elsr_paddle.evaluation.timing import measure

    return measure(model, candidate.engine.upscale, lr_frames, candidate.engine.device)


def _draw(records, folder, network):
    from elsr_paddle.evaluation.figures import frames_figure
    from elsr_paddle.evaluation.results import BICUBIC

    labels = {BICUBIC: BICUBIC, network: network.upper()}
    psnr_db = {label: [record.scores[method].psnr_db for record in records]
               for method, label in labels.items()}
    frames_figure(folder / "psnr_frames.png", psnr_db)


def _tell(summary, speed, args, network):
    from elsr_paddle.evaluation.tables import means_table, speed_table

    print(means_table(summary, network))
    print(speed_table(speed))
    if 0 < args.gif_frames < len(summary.items):
        print(f"the GIFs hold {args.gif_frames} of {len(summary.items)} frames; see --gif-frames")
    print(f"figures in {args.json} and {args.out / 'frames.csv'}, GIFs in {args.out}, "
          f"pictures in {args.plots}")


if __name__ == "__main__":
    run(main)
