"""Train ELSR: one stage, or a range of stages, each from the best weights of the one before."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from elsr_paddle.commands import shared as cli
from elsr_paddle.errors import InputError
from elsr_paddle.training.stages import STAGES, Stage, stage_numbers

SHAPE_FLAGS = ("width", "prelu", "depth", "head_kernel", "tail_kernel")
ROW_FLAGS = [field for field in fields(Stage) if field.name not in ("number", "init_from")]


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, help="1, ..., 5, or a range such as 1..5")
    parser.add_argument("--data", type=Path, help="folder of prepare_h5.py (default: the demo set)")
    parser.add_argument("--reds", help="REDS root, or `auto`: prepared into data/reds when needed")
    parser.add_argument("--out", type=Path, default=cli.OUT, help="folder of the stage folders")
    parser.add_argument("--plots", type=Path, default=cli.PLOTS)
    parser.add_argument("--model", default="elsr", help="elsr (RGB) or elsr-y (luma)")
    parser.add_argument("--width", type=int, help="channels of head and body")
    parser.add_argument("--prelu", choices=("channel", "shared"), help="slopes, of elsr only")
    parser.add_argument("--depth", type=int, help="convolutions in the body, of elsr-y only")
    parser.add_argument("--head-kernel", type=int, help="1, 3 or 5, of elsr-y only")
    parser.add_argument("--tail-kernel", type=int, help="1, 3 or 5, of elsr-y only")
    parser.add_argument("--weights", type=Path, help="start from this .safetensors or .pdparams")
    parser.add_argument("--from-scratch", action="store_true",
                        help="start the first stage asked for from no weights")
    parser.add_argument("--resume", action="store_true", help="continue where a run was stopped")
    parser.add_argument("--overwrite", action="store_true", help="train anew over an older run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate-every", type=int, default=500, help="steps; saves the state")
    parser.add_argument("--log-every", type=int, default=100, help="steps")
    parser.add_argument("--val-rows", type=int, default=50, help="validation pairs used")
    parser.add_argument("--workers", type=int, default=1, help="threads that prepare patches")
    parser.add_argument("--memory-budget", type=float, default=2.0, help="GiB of patches in memory")
    parser.add_argument("--device", help="cpu, gpu, gpu:1, ... (default: the best there is)")
    parser.add_argument("--amp", action="store_true", help="mixed precision on a GPU")
    parser.add_argument("--kernels", default="auto", choices=("auto", "paddle", "halide"),
                        help="compiled ones train on a CPU several times as fast (default: auto, "
                        "Halide's where it is installed and has all operations of the network)")
    parser.add_argument("--visualdl", type=Path, help="folder for VisualDL's curves")
    for field in ROW_FLAGS:
        kind = {"int": int, "float": float}.get(field.type, str)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, help="overrides the table of stages.py"
        )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    stages = [override(STAGES[number], args) for number in stage_numbers(args.stage)]
    for one, other in (("resume", "overwrite"), ("data", "reds"), ("weights", "from_scratch")):
        if getattr(args, one) and getattr(args, other):
            raise InputError(f"expected --{one} or --{other.replace('_', '-')} but got both")
    if args.from_scratch:
        stages[0] = replace(stages[0], init_from=None)
    # Imported here so that --help and a mistyped stage do not wait for Paddle; the drawing, so that
    # a missing matplotlib is told before the training and not after it.
    from elsr_paddle.evaluation.figures import losses_figure
    from elsr_paddle.framework import paddle, select_device

    device = select_device(args.device)
    processes = paddle.distributed.get_world_size()
    if args.amp and device == "cpu":
        raise InputError("expected a GPU for --amp but the device is cpu; leave --amp out")
    if processes > 1:
        paddle.distributed.init_parallel_env()
    first = paddle.distributed.get_rank() == 0
    if first:
        print(f"device {device}, {processes} process(es)")
        log = logging.getLogger("elsr_paddle")
        log.setLevel(logging.INFO)
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.propagate = False  # Paddle prints whatever reaches the root logger a second time
    folder = find_data(args, first)
    weights = args.weights
    for stage in stages:
        run = make_run(stage, args)
        best = train_stage(run, args, folder, weights, first)
        weights = None  # the next stage starts from this one
        if first:
            print(f"stage {stage.number}: {best['psnr_rgb_db']:.2f} dB RGB at step {best['step']}, "
                  f"bicubic {best['bicubic_rgb_db']:.2f}; weights {run.best}, "
                  f"curves {redraw_curves(args, losses_figure)}")
    return 0


def override(stage, args):
    """The table's row with every flag that was given."""
    given = {field.name: getattr(args, field.name) for field in ROW_FLAGS}
    return replace(stage, **{name: value for name, value in given.items() if value is not None})


def find_data(args, first):
    """The folder of prepared pairs; the first process makes what is missing, the others wait."""
    from elsr_paddle.framework import wait_for_all

    progress = partial(tqdm, unit="frame", disable=None)  # shown in terminals only
    folder = args.data or (cli.DATA / "reds" if args.reds else cli.DEMO)
    if first and args.reds:
        from elsr_paddle.data.prepare import ensure_reds

        ensure_reds(args.reds, folder, progress=progress)
    elif first and not args.data:
        from elsr_paddle.data import demo

        demo.ensure(folder, progress)
    wait_for_all("data")
    return folder


def make_run(stage, args):
    from elsr_paddle.training.runs import Run

    given = {"scale": stage.scale, **{name: getattr(args, name) for name in SHAPE_FLAGS}}
    config = {name: value for name, value in given.items() if value is not None}
    return Run(
        stage=stage,
        network={"model": args.model, "config": config},
        folder=args.out / f"stage{stage.number}",
        seed=args.seed,
        validate_every=args.validate_every,
        log_every=args.log_every,
        val_rows=args.val_rows,
        amp=args.amp,
        kernels=args.kernels,
    )


def train_stage(run, args, folder, weights, first):
    """Train one stage; gives the metrics of its best validation."""
    from elsr_paddle.data.pairs import Pairs
    from elsr_paddle.training import fit as training

    number, scale = run.stage.number, run.stage.scale
    weights = weights or run.stage.init_from and args.out / f"stage{number - 1}/best.safetensors"
    if weights and not weights.exists():
        if weights == args.weights:
            raise InputError(f"no such file: {weights}")
        raise InputError(f"stage {number} starts from {weights}, which is not there: train stage "
                         f"{number - 1} first, or give --weights or --from-scratch")
    run.claim(resume=args.resume, overwrite=args.overwrite)
    if first and (args.overwrite or not run.state.exists()):
        print(f"stage {number} starts from {weights or 'scratch'}")
    budget = args.memory_budget * 2**30
    train_pairs = Pairs(folder / f"train_x{scale}.h5", budget, scale)
    val_pairs = Pairs(folder / f"val_x{scale}.h5", budget, scale)
    try:
        return training.fit(run, train_pairs, val_pairs, start=weights, overwrite=args.overwrite,
                            workers=args.workers,
                            on_metrics=metrics_printer(run, args.visualdl) if first else None)
    except KeyboardInterrupt:
        if first and run.state.exists():
            print(f"stopped; {run.state} is saved: the same command with --resume continues")
        raise


def metrics_printer(run, visualdl_folder):
    """A function that shows each line of metrics, and logs it for VisualDL if asked to."""
    curves = visualdl_folder and visualdl_folder / f"stage{run.stage.number}"
    writer = visualdl_writer(curves) if curves else None

    def show(record):
        line = "stage {stage} step {step}/{0} loss {loss:.5f}, {steps_per_second:.1f} steps/s"
        if "psnr_rgb_db" in record:
            line += ("; RGB {psnr_rgb_db:.2f} dB (bicubic {bicubic_rgb_db:.2f})"
                     ", Y {psnr_y_db:.2f} dB (bicubic {bicubic_y_db:.2f})")
        print(line.format(run.stage.steps, **record), flush=True)
        if writer:
            for name, value in record.items():
                writer.add_scalar(name, value, record["step"])

    return show


def visualdl_writer(folder):
    try:
        from visualdl import LogWriter
    except ModuleNotFoundError as error:
        raise InputError("--visualdl needs `pip install 'elsr-paddle[visualdl]'`") from error
    return LogWriter(logdir=str(folder))


def redraw_curves(args, losses_figure):
    """Draw the curves of every stage found, not only of those just trained; gives the path."""
    from elsr_paddle.training.runs import read_metrics

    path = args.plots / "training_losses.png"
    runs = {n: read_metrics(args.out / f"stage{n}" / "metrics.jsonl") for n in STAGES}
    losses_figure(path, {number: lines for number, lines in runs.items() if lines})
    return path


