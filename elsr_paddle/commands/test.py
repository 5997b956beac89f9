"""Test networks on stills: PSNR and SSIM beside bicubic's as a table, as JSON and in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.evaluating import (
    about,
    add_evaluation_flags,
    begin_report,
    choose_every_kind,
    choose_trained,
    evaluation_options,
    load_candidate,
)
from elsr_paddle.commands.shared import DEMO, Skipped, run
from elsr_paddle.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `elsr test`; 0, or 2 if some of the stills were skipped."""
    args = _parser().parse_args(argv)
    if args.paths and args.benchmarks:
        raise InputError("expected paths or --benchmarks but got both; give one of them")
    from elsr_paddle.evaluation.results import summarise, write_json

    candidates = [load_candidate(trained, args) for trained in _choose(args)]
    options, skipped = evaluation_options(args, candidates[0].scale), Skipped()
    report = begin_report(args, candidates)
    items = {name: _evaluate(name, stills, candidates, args, skipped, report)
             for name, stills in _find_sets(args, options, skipped).items()}
    results = {name: summarise(records) for name, records in items.items() if records}
    if not results:
        raise InputError("no picture could be evaluated; give pictures, or folders of them")
    weights = {found.name: str(found.trained.path) for found in candidates}
    figures = {"sets": results} if args.benchmarks else results[""].as_dict()
    write_json(args.json, {**figures, **about(candidates[0], options), "weights": weights,
                           "skipped": skipped.messages})
    print(_table(results, candidates, args, options))
    print(f"figures in {args.json}, pictures in {args.plots}")
    if report:
        report.write(args.report)
        print(f"pictures beside bicubic in {args.report}")
    return skipped.status()


def _parser():
    parser = Parser(prog="elsr test", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="HR pictures, or folders of them "
                        "(default: frames of the demo's validation clips)")
    parser.add_argument("--benchmarks", type=Path, metavar="DIR", help="every set in DIR: NAME/HR, "
                        "with NAME/LR_bicubic/X4 where LR files are given; without --model and "
                        "--weights every kind of network that there are weights of is compared")
    parser.add_argument("--figures", type=int, default=20, metavar="N",
                        help="draw the first N pictures of each set (default: %(default)s)")
    add_evaluation_flags(parser, "test")
    return parser


def _choose(args):
    if args.weights or args.model or not args.benchmarks:
        return [choose_trained(args)]
    return choose_every_kind(args)


def _find_sets(args, options, skipped):
    """Name of the set -> its stills; plain paths are one set without a name."""
    from elsr_paddle.evaluation.stills import find_sets, find_stills

    if not args.benchmarks:
        return {"": find_stills(args.paths or _demo_frames(), skipped)}
    return find_sets(args.benchmarks, options.scale, given_lr=options.lr_kind == "bicubic")


def _demo_frames():
    """A few frames of each validation clip of the demo set, which is built when missing."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.data.demo import ensure
    from elsr_paddle.imaging.io import list_images

    clips = sorted((ensure(DEMO, bar) / "val").iterdir())
    return [path for clip in clips if clip.is_dir() for path in list_images(clip)[::8]]


def _evaluate(set_name, stills, candidates, args, skipped, report):
    """The records of a set's stills; the first ones are drawn and reported as well."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.evaluation.candidates import upscalers
    from elsr_paddle.evaluation.compare import evaluate_stills

    options, records = evaluation_options(args, candidates[0].scale), []
    shown = bar(stills, desc=set_name or "stills", unit="pictures")
    for item in evaluate_stills(shown, upscalers(candidates), options, skipped):
        if len(records) < args.figures:
            _draw(item, set_name, args.plots, options)
        if report:
            report.add_item(item, f"{set_name} {item.name}".strip())
        records.append(item.record())
    return records


def _draw(item, set_name, folder, options):
    from elsr_paddle.evaluation.figures import item_figure

    file = f"{set_name}_{item.name}".strip("_").replace("/", "_")
    file += "" if file.endswith(".png") else ".png"  # a.jpg.png: there may be an a.png as well
    title = f"{set_name} {item.name}, x{options.scale}, protocol {options.protocol}".strip()
    item_figure(folder / file, title, item)


def _table(results, candidates, args, options):
    from elsr_paddle.evaluation.tables import benchmark_table, scores_table

    if not args.benchmarks:
        return scores_table(results[""], candidates[0].name)
    comparable = (options.protocol, options.lr_kind) == ("y", "bicubic")
    parameters = {found.name: found.trained.graph.parameter_count for found in candidates}
    return benchmark_table(results, parameters, scale=options.scale, comparable=comparable)


if __name__ == "__main__":
    run(main)
