"""What the scripts share: how they fail, and where they look when no path is given."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from elsr_paddle.errors import InputError

DATA = Path("data")
DEMO = DATA / "demo"
OUT = Path("out")
PLOTS = Path("plots")
TRAIN = ("h5py", "matplotlib", "skimage")  # what the extra `train` brings, as it is imported


def run(main):
    """Run a script's `main` and exit: 0, 2 with one line for bad input, 130 for Ctrl-C.

    What the file system refuses (no such file, not permitted, disk full) counts as bad input, and
    so does a package of the extra `train` that is not installed.
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
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAIN:
            raise
        print(f"error: {package} is not installed: `pip install 'elsr-paddle[train]'` brings it",
              file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _one_line(error):
    reason = getattr(error, "strerror", None)
    file = reason and (getattr(error, "filename2", None) or error.filename)  # the target of a move
    return " ".join((f"{file}: {reason}" if file else str(error)).split())


def choose_weights(given=None, scale=None, model=None, degradation="bicubic"):
    """The file of weights a script works with.

    Parameters
    ----------
    given : str, Path or None; what --weights says, a file or the name of a shipped network.
    scale : int or None; what --scale says.
    model : str or None; what --model says: the shipped network, the one for LR of that kind where
        there is one; and only where none is shipped one trained here. With neither `given` nor
        `model`, `default_weights` of `elsr`.
    degradation : str, how the LR is made, a name in `degrade.DEGRADATIONS`.

    Returns
    -------
    Path

    Raises
    ------
    InputError as `default_weights`, if `given` is a name that is not shipped, or if both are given.
    """
    from elsr_paddle.engines import find_shipped, find_weights

    if given and model:
        raise InputError("expected --weights or --model but got both; give one of them")
    if given:
        return find_weights(given, scale)
    if model:
        with suppress(InputError):
            return find_shipped(model, scale, degradation)
    return default_weights(model or "elsr", scale or 4, degradation)


def default_weights(model, scale, degradation="bicubic"):
    """The best weights of the newest stage under out/ with that scale, else the shipped ones.

    Those trained on LR of another kind stand back, unless nothing there is, shipped or trained, is
    for LR of this kind.

    Parameters
    ----------
    model : str, as in the weights' metadata
    scale : int
    degradation : str, as for `choose_weights`

    Returns
    -------
    Path

    Raises
    ------
    InputError, which says how to train, if there are none; or if a stage's file is damaged.
    """
    from elsr_paddle.checkpoint import degradation_of

    for_other_lr = []
    for path, metadata in _trained_then_shipped(model, scale, degradation):
        if degradation_of(metadata) == degradation:
            return path
        for_other_lr.append(path)
    if for_other_lr:
        return for_other_lr[0]
    raise InputError(f"no weights of {model} x{scale} under {OUT}/stage1 ... stage5, and none "
                     "are shipped; run `python train.py --stage 1..5` or give --weights")


def _trained_then_shipped(model, scale, degradation):
    """(path, metadata) of what there is of a model, the newest stage first."""
    from elsr_paddle.checkpoint import load_weights
    from elsr_paddle.engines import find_shipped
    from elsr_paddle.training.stages import STAGES

    trained = (OUT / f"stage{number}" / "best.safetensors" for number in sorted(STAGES)[::-1])
    for path in filter(Path.is_file, trained):
        metadata = load_weights(path)[1]
        if (metadata["model"], metadata["config"].get("scale")) == (model, scale):
            yield path, metadata
    try:
        shipped = find_shipped(model, scale, degradation)
    except InputError:
        return
    yield shipped, load_weights(shipped)[1]


def all_weights(scale=None, degradation="bicubic"):
    """The files that `default_weights` takes: of `elsr`, and of other networks where there are any.

    Raises
    ------
    InputError as `default_weights`, if there are none of `elsr`.
    """
    from elsr_paddle.graph import GRAPHS

    files = [default_weights("elsr", scale or 4, degradation)]
    for model in GRAPHS.keys() - {"elsr"}:
        with suppress(InputError):
            files.append(default_weights(model, scale or 4, degradation))
    return files


def parse_evaluation(parser, argv, name):
    """Parse with the flags that test.py and test_video.py share; `name` is their JSON file's."""
    from elsr_paddle.evaluation.compare import PROTOCOLS
    from elsr_paddle.graph import GRAPHS
    from elsr_paddle.imaging.degrade import DEGRADATIONS

    add = parser.add_argument
    add("--model", choices=GRAPHS, help="a network that ships with the package: elsr (RGB, as in "
        "the paper) or elsr-y (luma, for the same cost); the one made for LR of the kind tested, "
        "such as elsr-aliased for OpenCV's cubic, where there is one")
    add("--weights", help="a .safetensors file, or the name of a shipped network, such as "
        "elsr-aliased (default: the newest stage under out/ trained on LR of the kind tested, else "
        "what --model elsr takes)")
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


class Loaded(NamedTuple):
    """A network to evaluate: its engine, as Paddle runs it, and what to write beside figures."""

    engine: object  # engines.Engine
    model: object  # paddle.nn.Layer
    about: dict

    @property
    def name(self):
        return self.engine.model_name


def load_for_evaluation(args, weights=None):
    """Load what the flags ask for, or a file of weights, and say so in a line.

    Draws the network into the folder of pictures, too.
    """
    from elsr_paddle.checkpoint import degradation_of, load_weights
    from elsr_paddle.engines import load_engine
    from elsr_paddle.evaluation.network_figure import architecture_figure
    from elsr_paddle.framework import select_device
    from elsr_paddle.models import load_model

    device = select_device(args.device)
    weights = weights or choose_weights(args.weights, args.scale, args.model, args.degradation)
    engine = load_engine(weights, scale=args.scale, engine=args.engine)
    made_for = degradation_of(load_weights(weights)[1])
    print(f"weights {weights} ({engine.model_name} x{engine.scale}) for {made_for} LR, "
          f"engine {engine.name} on {device}, protocol {args.protocol}")
    model = load_model(weights)
    suffix = "" if engine.model_name == "elsr" else f"_{engine.model_name}"
    architecture_figure(args.plots / f"architecture{suffix}.png", model)
    about = {"scale": engine.scale, "protocol": args.protocol, "degradation": args.degradation,
             "weights": str(weights), "engine": engine.name, "device": device}
    return Loaded(engine, model, about)


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
