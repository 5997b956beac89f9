"""What the scripts share: how they fail, and where they look when no path is given."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from elsr_paddle.errors import InputError

DATA = Path("data")
DEMO = DATA / "demo"
OUT = Path("out")
PLOTS = Path("plots")


def run(main):
    """Run a script's `main` and exit: 0, 2 with one line for bad input, 130 for Ctrl-C.

    What the file system refuses (no such file, not permitted, disk full) counts as bad input.
    """
    try:
        status = main()
        sys.stdout.flush()  # a reader that has gone, as in `| head`, shows here at the latest
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        status = 141  # what a shell reports of a program that SIGPIPE ended
    except (InputError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _one_line(error):
    reason = getattr(error, "strerror", None)
    file = reason and (getattr(error, "filename2", None) or error.filename)  # the target of a move
    return " ".join((f"{file}: {reason}" if file else str(error)).split())


def choose_weights(given=None, scale=None, model="elsr"):
    """The file of weights a script works with.

    Parameters
    ----------
    given : str, Path or None; what --weights says, a file or the name of a shipped network.
    scale : int or None; what --scale says.
    model : str, the network wanted when nothing is given.

    Returns
    -------
    Path

    Raises
    ------
    InputError as `default_weights`, or if `given` is a name that is not shipped.
    """
    from elsr_paddle.engines import find_weights

    return find_weights(given, scale) if given else default_weights(model, scale or 4)


def default_weights(model, scale):
    """The best weights of the newest stage under out/ with that scale, else the shipped ones.

    Parameters
    ----------
    model : str, as in the weights' metadata
    scale : int

    Returns
    -------
    Path

    Raises
    ------
    InputError, which says how to train, if there are none; or if a stage's file is damaged.
    """
    from elsr_paddle.checkpoint import load_weights
    from elsr_paddle.engines import find_weights
    from elsr_paddle.stages import STAGES

    trained = (OUT / f"stage{number}" / "best.safetensors" for number in sorted(STAGES)[::-1])
    for path in filter(Path.is_file, trained):
        metadata = load_weights(path)[1]
        if (metadata["model"], metadata["config"].get("scale")) == (model, scale):
            return path
    try:
        return find_weights(model, scale)
    except InputError as error:
        raise InputError(f"no weights of {model} x{scale} under {OUT}/stage1 ... stage5, and none "
                         "are shipped; run `python train.py --stage 1..5` or give --weights"
                         ) from error


def load_model(path):
    """The network of a file of weights, as Paddle runs it."""
    from elsr_paddle.checkpoint import load_weights
    from elsr_paddle.models import build_model, load_arrays

    weights, metadata = load_weights(path)
    model = build_model(metadata)
    load_arrays(model, weights)
    model.eval()
    return model


def parse_evaluation(parser, argv, name):
    """Parse with the flags that test.py and test_video.py share; `name` is their JSON file's."""
    from elsr_paddle.degrade import DEGRADATIONS
    from elsr_paddle.evaluation import PROTOCOLS

    add = parser.add_argument
    add("--weights", help="a .safetensors file, or the name of a shipped network "
        "(default: the newest stage under out/, else the shipped elsr)")
    add("--scale", type=int, help="of the network (default: what the weights say, else 4)")
    add("--protocol", choices=PROTOCOLS, default="y", help="y: luma, border of `scale` pixels left "
        "out (stills in papers); rgb: full frame (REDS); port: as the PyTorch port, with OpenCV's "
        "cubic (default: %(default)s)")
    add("--degradation", choices=DEGRADATIONS, help="how LR is made (default: the protocol's)")
    add("--engine", default="eager", help="what runs the network (default: %(default)s, Paddle)")
    add("--device", help="cpu, gpu, gpu:1, ... (default: the best there is)")
    add("--plots", type=Path, default=PLOTS, help="folder of the pictures (default: %(default)s)")
    add("--json", type=Path, default=OUT / f"{name}.json", metavar="FILE",
        help="every figure as JSON; a PSNR of null is infinite (default: %(default)s)")
    args = parser.parse_args(argv)
    args.degradation = args.degradation or PROTOCOLS[args.protocol].degradation
    return args


def load_for_evaluation(args):
    """The engine, its network and what to write about them beside the figures; said in a line.

    Draws the network into the folder of pictures, too.
    """
    from elsr_paddle.engines import load_engine
    from elsr_paddle.framework import select_device
    from elsr_paddle.report import architecture_figure

    device = select_device(args.device)
    weights = choose_weights(args.weights, args.scale)
    engine = load_engine(weights, scale=args.scale, engine=args.engine)
    print(f"weights {weights} ({engine.model_name} x{engine.scale}), "
          f"engine {engine.name} on {device}, protocol {args.protocol}")
    model = load_model(weights)
    architecture_figure(args.plots / "architecture.png", model)
    about = {"scale": engine.scale, "protocol": args.protocol, "degradation": args.degradation,
             "weights": str(weights), "engine": engine.name, "device": device}
    return engine, model, about


class Skipped:
    """What could not be read: told at once in a line each, and counted at the end."""

    def __init__(self):
        self.messages = []

    def __call__(self, error):
        self.messages.append(" ".join(str(error).split()))
        print(f"skipped: {self.messages[-1]}", file=sys.stderr)

    def status(self):
        """The script's exit status, after a summary of what was skipped, if anything was."""
        if not self.messages:
            return 0
        print(f"{len(self.messages)} skipped:", *self.messages, sep="\n  ", file=sys.stderr)
        return 2
