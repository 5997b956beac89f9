"""Train a network in stages, each of which starts from the best weights of the one before."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from elsr_paddle.commands.arguments import Parser, add_options, given_options, read_config
from elsr_paddle.commands.shared import DATA, DEMO, OUT, PLOTS, run
from elsr_paddle.errors import InputError, needs
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks.network import Network
from elsr_paddle.training.run import Run
from elsr_paddle.training.runs import read_metrics
from elsr_paddle.training.stages import STAGES, Stage, stage_numbers

PROGRAM = "elsr train"
MODEL = "elsr"


@dataclass(frozen=True)
class Console:
    """What the command says: for people, or as JSON for programs, and by the first process alone.

    Attributes
    ----------
    as_json : bool, whether standard output carries metrics as JSON, and standard error the rest
    is_first : bool, whether this is the first of several processes, or the only one
    """

    as_json: bool
    is_first: bool = True

    @property
    def stream(self) -> TextIO:
        """Where people read."""
        return sys.stderr if self.as_json else sys.stdout

    def say(self, text: str) -> None:
        """A line for people."""
        if self.is_first:
            print(text, file=self.stream, flush=True)

    def show(self, record: dict, steps: int) -> None:
        """A line of metrics of a stage with so many steps."""
        if self.as_json:
            print(json.dumps(record), flush=True)
        else:
            self.say(describe(record, steps))


def main(argv: list[str] | None = None) -> int:
    """Train the stages that the arguments name."""
    args = parse(sys.argv[1:] if argv is None else argv)
    runs = make_runs(args)
    # Imported here so that --help and a mistyped stage do not wait for Paddle; the drawing, so that
    # a missing matplotlib is told before the training and not after it.
    from elsr_paddle.evaluation.figures import losses_figure

    console = set_up(args)
    with _log_to(console):
        folder, weights = find_data(args, console.is_first), args.weights
        for run in runs:
            best = train_stage(run, args, folder, weights, console)
            weights = None  # the next stage starts from this one
            if console.is_first:
                console.say(summary(run, best, redraw_curves(args, losses_figure)))
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; a file of --config stands in for flags that are not given.

    Raises
    ------
    InputError for a flag or an option of the file that does not exist, and without a stage.
    """
    early = Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    early.add_argument("--model")
    early.add_argument("--config")
    given, _ = early.parse_known_args(argv)
    every = _names(Stage, Run, *NETWORKS.values())
    config = read_config(given.config, every) if given.config else {}
    kind = type(build(given.model or config.get("model", MODEL), {}))
    foreign = sorted(config.keys() - _names(Stage, Run, kind))
    if foreign:
        raise InputError(f"{given.config} has options that {kind.name} does not have: "
                         f"{', '.join(foreign)}")
    parser = build_parser(kind)
    parser.set_defaults(**config)
    args = parser.parse_args(argv)
    if args.stage is None:
        parser.error("the following arguments are required: --stage")
    return args


def _names(*kinds):
    """The names that a file of options may have: `stage`, `model` and those of dataclasses."""
    return {"stage", "model",
            *(field.name for kind in kinds for field in fields(kind) if field.metadata)}


def build_parser(kind: type) -> argparse.ArgumentParser:
    """The parser of the command for a kind of network, whose options are among its flags."""
    parser = Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    stage = parser.add_argument_group("the stage", "each flag but --stage replaces a value of its "
                                      "row in elsr_paddle/training/stages.py; deep networks "
                                      "take a share of its learning rate")
    stage.add_argument("--stage", metavar="N", help="1 to 5, or a range as 1..5")
    add_options(stage, Stage)
    network = parser.add_argument_group("the network", f"the flags below --model are those of "
                                        f"{kind.name}; each network has its own")
    network.add_argument("--model", default=MODEL, choices=NETWORKS,
                         help="the network to train (default: %(default)s, that of the paper)")
    add_options(network, kind, without=("scale",))  # that of the stage
    group = parser.add_argument_group("the run")
    add_options(group, Run)
    _add_run(group)
    _add_files(parser.add_argument_group("files"))
    return parser


def _add_run(group):
    """The flags of a run that change no bit of what comes out."""
    earlier = group.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="continue where a run was stopped")
    earlier.add_argument("--overwrite", action="store_true", help="train anew over an older run")
    group.add_argument("--device", help="cpu, gpu, gpu:1, ... (default: the best there is)")
    group.add_argument("--workers", type=int, default=1, metavar="N",
                       help="threads that prepare patches (default: %(default)s)")
    group.add_argument("--memory-budget", type=float, default=2.0, metavar="GIB",
                       help="most that pairs take in memory (default: %(default)s)")
    group.add_argument("--progress", choices=("auto", "json"), default="auto",
                       help="auto: lines for people; json: a JSON object a line on stdout, all "
                            "else on stderr (default: %(default)s)")


def _add_files(group):
    add = group.add_argument
    pairs = group.add_mutually_exclusive_group()
    pairs.add_argument("--data", type=Path, metavar="DIR",
                       help="folder of `elsr prepare`, or of pictures and clips as they are "
                            "(default: the demo set)")
    add("--photos", action="store_true",
        help="every picture of such a folder is a photo, also where all share one size")
    pairs.add_argument("--reds", metavar="DIR",
                       help="REDS root, or `auto`: prepared into data/reds when needed")
    start = group.add_mutually_exclusive_group()
    start.add_argument("--weights", metavar="FILE",
                       help="start from this .safetensors or .pdparams, or from a network that "
                            "ships (default: the best weights of the stage before)")
    start.add_argument("--from-scratch", action="store_true",
                       help="start the first stage asked for from no weights")
    add("--out", type=Path, default=OUT, metavar="DIR",
        help="folder of the stage folders (default: %(default)s)")
    add("--plots", type=Path, default=PLOTS, metavar="DIR",
        help="folder of the curves (default: %(default)s)")
    add("--visualdl", type=Path, metavar="DIR", help="folder for VisualDL's curves")
    add("--config", metavar="FILE", help="YAML with options of the stage, the network and the run, "
        "such as the config.json of an earlier run; flags win")


def make_runs(args: argparse.Namespace) -> list[Run]:
    """The runs that the arguments ask for, in order.

    Raises
    ------
    InputError for an option out of its range.
    """
    numbers = stage_numbers(str(args.stage))  # a number in a file of options
    stages = [replace(row, **given_options(args, Stage))
              for row in rows_for(NETWORKS[args.model], numbers)]
    if args.from_scratch:
        stages[0] = replace(stages[0], init_from=None)
    own = {name: value for name, value in given_options(args, Run).items() if name != "stage"}
    return [Run(stage, build_network(args, stage.scale), args.out / f"stage{stage.number}", **own)
            for stage in stages]


def rows_for(kind: type[Network], numbers: list[int]) -> list[Stage]:
    """The rows of these stages, with the learning rate that the training of a network bears."""
    rows = [STAGES[number] for number in numbers]
    return [replace(row, learning_rate=row.learning_rate * kind.learning_rate_factor)
            for row in rows]


def build_network(args: argparse.Namespace, scale: int) -> Network:
    """The network that the arguments ask for, for one scale."""
    options = given_options(args, NETWORKS[args.model])
    return build(args.model, {**options, "scale": scale})


def set_up(args: argparse.Namespace) -> Console:
    """Choose the device and join the other processes, if there are any.

    Raises
    ------
    InputError if there is no such device, or mixed precision is asked of a CPU.
    """
    from elsr_paddle.framework import paddle, select_device

    device = select_device(args.device)
    processes = paddle.distributed.get_world_size()
    if args.amp and device == "cpu":
        raise InputError("expected a GPU for --amp but the device is cpu; leave --amp out")
    if processes > 1:
        paddle.distributed.init_parallel_env()
    console = Console(args.progress == "json", paddle.distributed.get_rank() == 0)
    console.say(f"device {device}, {processes} process(es)")
    return console


@contextmanager
def _log_to(console):
    """Let the first process show what the package logs, inside the block."""
    log = logging.getLogger("elsr_paddle")
    before = log.level, log.propagate
    handler = logging.StreamHandler(console.stream) if console.is_first else logging.NullHandler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # Paddle prints whatever reaches the root logger a second time
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


def find_data(args: argparse.Namespace, first: bool) -> Path:
    """The folder of prepared pairs; the first process makes what is missing, the others wait."""
    from elsr_paddle.commands.progress import bar
    from elsr_paddle.framework import wait_for_all

    progress = partial(bar, kind=args.progress, unit="frames")
    folder = args.data or (DATA / "reds" if args.reds else DEMO)
    if first and args.reds:
        from elsr_paddle.data.prepare import ensure_reds

        ensure_reds(args.reds, folder, progress=progress)
    elif first and not args.data:
        from elsr_paddle.data import demo

        demo.ensure(folder, progress)
    wait_for_all("data")
    return folder


def train_stage(run: Run, args: argparse.Namespace, folder: Path, weights: str | None,
                console: Console) -> dict:
    """Train one stage; gives the metrics of its best validation.

    Parameters
    ----------
    run : Run
    args : the arguments
    folder : Path of the pairs
    weights : str or None, the file or network to start from; None for that of the stage before.
    console : Console
    """
    from elsr_paddle.training.fit import fit

    start = find_start(run, args.out, weights)
    run.claim(resume=args.resume, overwrite=args.overwrite)
    if args.overwrite or not run.state.exists():
        console.say(f"stage {run.stage.number} starts from {start or 'scratch'}")
    try:
        return fit(run, *open_pairs(run, args, folder, console), start=start,
                   overwrite=args.overwrite, workers=args.workers,
                   on_metrics=metrics_listener(run, args.visualdl, console))
    except KeyboardInterrupt:
        if run.state.exists():
            console.say(f"stopped; {run.state} is saved: the same command with --resume continues")
        raise


def open_pairs(run: Run, args: argparse.Namespace, folder: Path, console: Console) -> tuple:
    """The pairs for training, of each scale, and for validation.

    They are those of `elsr prepare`, or the pictures themselves.

    Raises
    ------
    InputError if the folder holds neither, or no file of the stage's scale.
    """
    opened = {scale: _open_pairs(scale, run, args, folder, console) for scale in run.stage.scales}
    return [train for train, _ in opened.values()], opened[run.stage.scale][1]


def _open_pairs(scale, run, args, folder, console):
    """(for training, for validation) of one scale."""
    from elsr_paddle.data.folders import open_folder
    from elsr_paddle.data.pairs import Pairs

    if next(folder.glob("*.h5"), None) or not folder.is_dir():
        budget = args.memory_budget * 2**30
        return tuple(Pairs(folder / f"{part}_x{scale}.h5", budget, scale)
                     for part in ("train", "val"))
    return open_folder(folder, scale, photos=args.photos, smallest=run.stage.hr_patch,
                       on_error=lambda error: console.say(f"left out: {error}"))


def find_start(run: Run, out: Path, weights: str | None) -> Path | None:
    """The file a stage starts from: the one given, else that of the stage before; None for none.

    Raises
    ------
    InputError if the stage before has not been trained, or nothing ships under the name given.
    """
    from elsr_paddle.networks import zoo

    number, before = run.stage.number, run.stage.init_from
    if weights:
        return zoo.find(weights, run.stage.scale)
    if before is None:
        return None
    path = out / f"stage{before}" / zoo.BEST
    if not path.exists():
        raise InputError(f"stage {number} starts from {path}, which is not there: train stage "
                         f"{before} first, or give --weights or --from-scratch")
    return path


def metrics_listener(
    run: Run, visualdl: Path | None, console: Console
) -> Callable[[dict], None]:
    """A function that shows each line of metrics, and logs it for VisualDL in a folder if given."""
    writer = None
    if visualdl and console.is_first:
        folder = visualdl / f"stage{run.stage.number}"
        writer = needs("visualdl", "visualdl").LogWriter(logdir=str(folder))

    def listen(record):
        console.show(record, run.stage.steps)
        for name, value in record.items() if writer else ():
            writer.add_scalar(name, value, record["step"])

    return listen


def describe(record: dict, steps: int) -> str:
    """A line of metrics in words; `steps` are those of the whole stage."""
    line = (f"stage {record['stage']} step {record['step']}/{steps} loss {record['loss']:.5f}, "
            f"{record['steps_per_second']:.1f} steps/s, {duration(record['seconds_left'])} left")
    if "psnr_rgb_db" in record:
        line += ("; RGB {psnr_rgb_db:.2f} dB (bicubic {bicubic_rgb_db:.2f})"
                 ", Y {psnr_y_db:.2f} dB (bicubic {bicubic_y_db:.2f})").format(**record)
    return line


def duration(seconds: float) -> str:
    """Seconds in words with the two largest units: 1 h 5 min, 2 min 6 s, 9 s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def summary(run: Run, best: dict, curves: Path) -> str:
    """A line on a stage that is done; `best` is the line of metrics of its best validation."""
    return (f"stage {run.stage.number}: {best['psnr_rgb_db']:.2f} dB RGB at step {best['step']}, "
            f"bicubic {best['bicubic_rgb_db']:.2f}; weights {run.best}, curves {curves}")


def redraw_curves(args: argparse.Namespace, losses_figure: Callable) -> Path:
    """Draw the curves of every stage found, not only of those just trained; gives the path."""
    path = args.plots / "training_losses.png"
    runs = {n: read_metrics(args.out / f"stage{n}" / "metrics.jsonl") for n in STAGES}
    losses_figure(path, {number: lines for number, lines in runs.items() if lines})
    return path


if __name__ == "__main__":
    run(main)
