"""Test a network on stills: PSNR and SSIM beside bicubic's as a table, as JSON and in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from elsr_paddle import cli
from elsr_paddle.errors import InputError


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="HR pictures, or folders of them "
                        "(default: frames of the demo's validation clips)")
    parser.add_argument("--benchmarks", type=Path, metavar="DIR", help="every set in DIR: NAME/HR, "
                        "with NAME/LR_bicubic/X4 where LR files are given")
    parser.add_argument("--figures", type=int, default=20, metavar="N",
                        help="draw the first N pictures of each set (default: %(default)s)")
    return cli.parse_evaluation(parser, argv, "test")


def main(argv=None):
    args = parse(argv)
    if args.paths and args.benchmarks:
        raise InputError("expected paths or --benchmarks but got both; give one of them")
    from elsr_paddle.evaluation import summary, write_json

    engine, model, about = cli.load_for_evaluation(args)
    skipped = cli.Skipped()
    sets = find_sets(args, engine.scale, skipped)
    records = {name: evaluate(name, sets[name], args, engine, skipped) for name in sets}
    results = {name: summary(found) for name, found in records.items() if found}
    if not results:
        raise InputError("no picture could be evaluated; give pictures, or folders of them")
    figures = {"sets": results} if args.benchmarks else results[""]
    write_json(args.json, {**figures, **about, "skipped": skipped.messages})
    print(as_table(results, args, engine, model))
    print(f"figures in {args.json}, pictures in {args.plots}")
    return skipped.status()


def find_sets(args, scale, skipped):
    """Name of the set -> its stills; plain paths are one set without a name."""
    from elsr_paddle.evaluation import find_sets, find_stills

    if not args.benchmarks:
        return {"": find_stills(args.paths or demo_frames(), skipped)}
    return find_sets(args.benchmarks, scale, given_lr=args.degradation == "bicubic")


def demo_frames():
    """A few frames of each validation clip of the demo set, which is built when missing."""
    from elsr_paddle.demo import ensure
    from elsr_paddle.images import list_images

    clips = sorted((ensure(cli.DEMO, tqdm) / "val").iterdir())
    return [path for clip in clips if clip.is_dir() for path in list_images(clip)[::8]]


def evaluate(set_name, stills, args, engine, skipped):
    """The records of a set's pictures; the first ones are drawn as well."""
    from elsr_paddle.evaluation import PROTOCOLS, evaluate_stills

    records = []
    bar = tqdm(stills, desc=set_name or None, unit="picture", disable=None)
    for item in evaluate_stills(bar, engine.upscale, scale=engine.scale, on_error=skipped,
                                protocol=PROTOCOLS[args.protocol], degradation=args.degradation):
        if len(records) < args.figures:
            draw(item, set_name, args, engine)
        records.append(item.record(engine.model_name))
    return records


def draw(item, set_name, args, engine):
    from elsr_paddle.report import still_figure

    label = engine.model_name.upper()
    file = f"{set_name}_{item.name}".strip("_").replace("/", "_")
    file += "" if file.endswith(".png") else ".png"  # a.jpg.png: there may be an a.png as well
    images = {"LR": item.lr, "bicubic": item.bicubic, label: item.sr, "HR": item.hr}
    psnr_db = {"bicubic": item.bicubic_score.psnr_db, label: item.sr_score.psnr_db}
    title = f"{set_name} {item.name}, x{engine.scale}, protocol {args.protocol}".strip()
    still_figure(args.plots / file, title, images, psnr_db)


def as_table(results, args, engine, model):
    from elsr_paddle.models import count_parameters
    from elsr_paddle.scoreboard import benchmark_table, scores_table

    if not args.benchmarks:
        return scores_table(results[""], engine.model_name)
    comparable = args.protocol == "y" and args.degradation == "bicubic"
    return benchmark_table(results, {engine.model_name: count_parameters(model)},
                           scale=engine.scale, comparable=comparable)


if __name__ == "__main__":
    cli.run(main)
