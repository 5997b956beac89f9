"""Test a network on stills: PSNR and SSIM beside bicubic's as a table, as JSON and in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from elsr_paddle.commands import shared as cli
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
    from elsr_paddle.evaluation.compare import summary, write_json

    networks = load(args)
    skipped = cli.Skipped()
    sets = find_sets(args, networks[0].engine.scale, skipped)
    records = {name: evaluate(name, sets[name], args, networks, skipped) for name in sets}
    results = {name: summary(found) for name, found in records.items() if found}
    if not results:
        raise InputError("no picture could be evaluated; give pictures, or folders of them")
    figures = {"sets": results} if args.benchmarks else results[""]
    about = {**networks[0].about, "weights": {n.name: n.about["weights"] for n in networks}}
    write_json(args.json, {**figures, **about, "skipped": skipped.messages})
    print(as_table(results, args, networks))
    print(f"figures in {args.json}, pictures in {args.plots}")
    return skipped.status()


def load(args):
    """The network asked for; for --benchmarks without such a choice, all kinds that there are."""
    if args.weights or args.model or not args.benchmarks:
        return [cli.load_for_evaluation(args)]
    found = cli.all_weights(args.scale, args.degradation)
    return [cli.load_for_evaluation(args, weights) for weights in found]


def find_sets(args, scale, skipped):
    """Name of the set -> its stills; plain paths are one set without a name."""
    from elsr_paddle.evaluation.compare import find_sets, find_stills

    if not args.benchmarks:
        return {"": find_stills(args.paths or demo_frames(), skipped)}
    return find_sets(args.benchmarks, scale, given_lr=args.degradation == "bicubic")


def demo_frames():
    """A few frames of each validation clip of the demo set, which is built when missing."""
    from elsr_paddle.data.demo import ensure
    from elsr_paddle.imaging.io import list_images

    clips = sorted((ensure(cli.DEMO, tqdm) / "val").iterdir())
    return [path for clip in clips if clip.is_dir() for path in list_images(clip)[::8]]


def evaluate(set_name, stills, args, networks, skipped):
    """The records of a set's pictures; the first ones are drawn as well."""
    from elsr_paddle.evaluation.compare import PROTOCOLS, evaluate_stills

    records = []
    bar = tqdm(stills, desc=set_name or None, unit="picture", disable=None)
    upscalers = {network.name: network.engine.upscale for network in networks}
    for item in evaluate_stills(bar, upscalers, scale=networks[0].engine.scale,
                                protocol=PROTOCOLS[args.protocol], degradation=args.degradation,
                                on_error=skipped):
        if len(records) < args.figures:
            draw(item, set_name, args, networks[0].engine.scale)
        records.append(item.record())
    return records


def draw(item, set_name, args, scale):
    from elsr_paddle.evaluation.figures import networks_figure

    file = f"{set_name}_{item.name}".strip("_").replace("/", "_")
    file += "" if file.endswith(".png") else ".png"  # a.jpg.png: there may be an a.png as well
    title = f"{set_name} {item.name}, x{scale}, protocol {args.protocol}".strip()
    networks_figure(args.plots / file, title, item)


def as_table(results, args, networks):
    from elsr_paddle.evaluation.tables import benchmark_table, scores_table
    from elsr_paddle.models import count_parameters

    if not args.benchmarks:
        return scores_table(results[""], networks[0].name)
    comparable = args.protocol == "y" and args.degradation == "bicubic"
    parameters = {network.name: count_parameters(network.model) for network in networks}
    return benchmark_table(results, parameters, scale=networks[0].engine.scale,
                           comparable=comparable)


