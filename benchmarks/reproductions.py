"""Train the field's networks as their papers compare them, and print ours beside published dB.

    python benchmarks/reproductions.py --benchmarks sets/ --t91 T91/ --photos out/open [--only NAME]

Prints the tables of benchmarks/reproductions.md, as Markdown. Each run lies in a folder of its own
under --out; one that was stopped goes on, and its minutes are then those of its last start; one
that is done is not trained anew. `--photos` is a folder of pairs by `prepare_h5.py --photos --scale
2 3 4`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from machine import about

from elsr_paddle.commands.shared import OUT, Skipped, run
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.evaluation.candidates import evaluate_sets, make_candidate
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.evaluation.tables import table
from elsr_paddle.networks.weights import read
from elsr_paddle.networks.zoo import BEST
from elsr_paddle.training.runs import read_metrics

ROOT = Path(__file__).parents[1]
CLEAR_DB = 0.3  # published rows that differ by more should stand in the same order here


@dataclass(frozen=True)
class Row:
    """A run, and what was published of it.

    Attributes
    ----------
    name : str, of its folder
    what : str, in the table
    flags : str, of `train.py`
    data : "t91" or "photos"
    published : dict, name of the set -> dB; empty where the source gives none
    """

    name: str
    what: str
    flags: str
    data: str
    published: dict


def _espcn(scale, activation, data, **published):
    flags = (f"--model espcn --activation {activation} --scale {scale} --stage 3..4 --from-scratch "
             f"--hr-patch {24 * scale} --steps 8000 --validate-every 2000")
    pictures = {"t91": "T91", "photos": "the open photos"}[data]
    name = f"espcn_x{scale}_{activation}" + "_open" * (data == "photos")
    return Row(name, f"x{scale}, {activation}, {pictures}", flags, data, published)


_BUDGET = ("--stage 1 --scale 2 --hr-patch 32 --batch-size 8 --steps 1000 --expansion 0 "
           "--learning-rate 1e-3 --ema-decay 0.99 --validate-every 500")


def _study(name, what, network, set5_db=None):
    """A row at the budget of all; widths are a quarter of the study's."""
    return Row(f"study_{name}", what, f"--model {network} {_BUDGET}", "photos",
               {"Set5": set5_db} if set5_db else {})


_CURVE = ("--stage 1 --scale 2 --hr-patch 48 --batch-size 4 --steps 300 --expansion 0 "
          "--ema-decay 0.99 --validate-every 50")
# Table -> its rows. The study's figures are those of its own budget; see reproductions.md.
TABLES = {
    "espcn": (
        _espcn(3, "tanh", "t91", Set5=32.55, Set14=29.08),
        _espcn(3, "relu", "t91"),
        _espcn(3, "gelu", "t91"),
        _espcn(3, "relu", "photos"),
        _espcn(2, "relu", "photos"),
        _espcn(4, "relu", "photos"),
    ),
    "study": (
        _study("srcnn3", "3 layers, 9-1-5", "srcnn --width 16", 36.50),
        _study("srcnn3_res", "+ global residual", "srcnn --width 16 --residual", 36.72),
        _study("srcnn8", "8 layers of 3x3", "srcnn --width 16 --residual "
               "--sides 3-3-3-3-3-3-3-3", 37.43),
        _study("end", "upsampling at the end", "subpixel-cnn --width 16", 37.34),
        _study("bn", "+ batch norm", "subpixel-cnn-bn --width 16", 37.64),
        _study("blocks", "+ residual blocks", "subpixel-cnn-blocks --width 16", 37.63),
        _study("leaky", "leaky ReLU", "subpixel-cnn-leaky --width 16"),
        _study("prelu", "PReLU", "subpixel-cnn-prelu --width 16"),
        _study("16", "16 layers", "subpixel-cnn-16 --width 16", 37.69),
        _study("32", "32 layers", "subpixel-cnn-32 --width 16", 36.92),
        _study("w32", "half the width", "subpixel-cnn-w32 --width 8"),
        _study("w96", "1.5 times the width", "subpixel-cnn-w96 --width 24"),
        _study("w128", "twice the width", "subpixel-cnn-w128 --width 32"),
        _study("l2", "L2", "subpixel-cnn-blocks --width 16 --loss l2", 37.53),
        _study("attention", "channel attention", "subpixel-cnn-attention --width 16"),
    ),
    "curves": (
        Row("edsr", "EDSR-baseline, x2", f"--model edsr-baseline {_CURVE}", "photos",
            {"Set5": 37.99}),
        Row("mdsr", "MDSR-baseline, x2 of three in turn", f"--model mdsr-baseline {_CURVE} "
            "--in-turn 2+3+4", "photos", {}),
    ),
}


def main(argv=None):
    """Train what is missing and print the tables."""
    args, skipped = parse(argv), Skipped()
    print(f"{about()}")
    for name in args.tables:
        rows = [row for row in TABLES[name] if not args.only or row.name in args.only]
        for row in rows:
            if not (args.print_only or cost_file(row, args).exists()):
                train(row, args)
        shown = [row for row in rows if best_weights(row, args)]
        found = {row.name: measure(row, args, skipped) for row in shown}
        if found:
            print(f"\n## {name}\n\n{as_table(shown, found, args)}")
            print("\n".join(disagreements(shown, found)))
    return skipped.status()


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--benchmarks", type=Path, required=True, help="folder of sets")
    add("--t91", type=Path, help="folder of T91's pictures")
    add("--photos", type=Path, help="folder of pairs of photos at x2, x3 and x4")
    add("--tables", nargs="*", default=list(TABLES), choices=TABLES)
    add("--only", nargs="*", metavar="NAME", help="of all rows, these")
    add("--print-only", action="store_true", help="train nothing: print what there is")
    add("--out", type=Path, default=OUT / "repro", help="folder of the runs (default: %(default)s)")
    args = parser.parse_args(argv)
    if not (args.print_only or args.t91 and args.photos):
        parser.error("needs --t91 and --photos, or --print-only")
    return args


def train(row, args):
    """Train a row to its end, then note what it cost."""
    folder = args.out / row.name
    data = pack_t91(args) if row.data == "t91" else args.photos
    before = os.times()
    call("train.py", *row.flags.split(), "--data", data, "--out", folder, "--plots",
         folder / "plots", "--resume")
    after = os.times()
    minutes = sum(getattr(after, part) - getattr(before, part)
                  for part in ("children_user", "children_system")) / 60
    cost_file(row, args).write_text(json.dumps(minutes))


def pack_t91(args):
    """The folder of pairs of T91; five pictures are kept for validation."""
    folder = args.out / "t91"
    if not (folder / "train_x3.h5").exists():
        call("prepare_h5.py", args.t91, "--photos", "--scale", 2, 3, 4, "--hr-patch", 96,
             "--val-clips", 5, "--output", folder)
    return folder


def call(script, *arguments):
    """Run a script of the project; what it prints goes to standard error."""
    subprocess.run([sys.executable, ROOT / script, *map(str, arguments)], check=True,
                   stdout=sys.stderr)


def cost_file(row, args):
    return args.out / row.name / "minutes.json"


def best_weights(row, args):
    """Those of the last stage that has any, or None."""
    return max((args.out / row.name).glob(f"stage*/{BEST}"), default=None)


def measure(row, args, skipped):
    """Folder of its last stage, and name of the set -> dB."""
    path = best_weights(row, args)
    found = read(path)
    candidate = make_candidate(row.name, found, EngineOptions("eager"))
    sets = evaluate_sets(args.benchmarks, [candidate], EvaluationOptions(found.scale), skipped)
    return path.parent, {name: each.mean[row.name].psnr_db for name, each in sets.items()}


def as_table(rows, found, args):
    sets = list(next(iter(found.values()))[1])
    published = [name for name in sets if any(name in row.published for row in rows)]
    head = ["run", "steps", *(f"{name} dB" for name in sets),
            *(f"{name}, published" for name in published), "processor, minutes"]
    cells = []
    for row in rows:
        folder, psnr_db = found[row.name]
        steps = sum(read_metrics(path)[-1]["step"]
                    for path in sorted(folder.parent.glob("stage*/metrics.jsonl")))
        cost = cost_file(row, args)
        cells.append([row.what, f"{steps:,}", *psnr_db.values(),
                      *(row.published.get(name) for name in published),
                      f"{json.loads(cost.read_text()):.1f}" if cost.exists() else None])
    return table(head, cells)


def disagreements(rows, found):
    """A line on each pair of rows whose published order is clear and is another one here."""
    yield ""
    for first, second in itertools.combinations(rows, 2):
        for name in first.published.keys() & second.published.keys():
            there = first.published[name] - second.published[name]
            here = found[first.name][1][name] - found[second.name][1][name]
            if abs(there) > CLEAR_DB and there * here <= 0:
                yield (f"- {name}: {first.what} against {second.what}: {here:+.2f} dB here, "
                       f"{there:+.2f} dB published")


if __name__ == "__main__":
    run(main)
