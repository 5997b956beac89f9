"""Share what `test` and `test-video` have in common: their flags, and the networks they load."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elsr_paddle.commands.arguments import add_options, given_options
from elsr_paddle.commands.shared import OUT, PLOTS, warn
from elsr_paddle.commands.variations import add_variations, variations
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import EvaluationOptions
from elsr_paddle.networks import NETWORKS, zoo
from elsr_paddle.networks.weights import Trained, read

if TYPE_CHECKING:
    from elsr_paddle.evaluation.candidates import Candidate
    from elsr_paddle.evaluation.report import Report

SCALE = 4  # of the network where neither flags nor weights tell


def add_evaluation_flags(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the flags that both commands share; `name` is that of their JSON file."""
    network = parser.add_argument_group("network")
    network.add_argument("--model", metavar="NAME", help=f"a network: {', '.join(NETWORKS)}, or "
                         "one that ships, such as elsr-y-aliased; its best weights are those of "
                         "the highest stage under out/, else what ships; trained on LR of the kind "
                         "tested where there are any (default: elsr)")
    network.add_argument("--weights", metavar="FILE", help="a .safetensors file, or the name of a "
                         "network that ships")
    network.add_argument("--scale", type=int, help=f"of the network (default: that of the weights "
                         f"given, else {SCALE})")
    network.add_argument("--engine", default="eager", help="what runs the network (default: "
                         "%(default)s, the Paddle layer itself)")
    network.add_argument("--device", help="cpu, gpu, gpu:1, ... (default: the engine's choice)")
    add_variations(network)
    add_options(parser.add_argument_group("evaluation"), EvaluationOptions, without=("scale",))
    output = parser.add_argument_group("output")
    output.add_argument("--plots", type=Path, default=PLOTS, help="folder of the pictures "
                        "(default: %(default)s)")
    output.add_argument("--json", type=Path, default=OUT / f"{name}.json", metavar="FILE",
                        help="every figure as JSON; a PSNR of null is infinite "
                        "(default: %(default)s)")
    output.add_argument("--report", type=Path, metavar="FILE.html", help="a page with a slider "
                        "between bicubic and the network, for the first pictures or seconds")


def begin_report(args: argparse.Namespace, candidates: Sequence[Candidate]) -> Report | None:
    """The page that --report asks for, still empty; None without it."""
    if not args.report:
        return None
    from elsr_paddle.evaluation.report import Report

    options = evaluation_options(args, candidates[0].scale)
    names = " and ".join(found.name for found in candidates)
    return Report(f"{names} x{options.scale} beside bicubic",
                  f"Pictures were made small ({options.lr_kind}) and enlarged {options.scale} "
                  f"times. dB are PSNR against the original, protocol {options.protocol}.")


def evaluation_options(args: argparse.Namespace, scale: int | None = None) -> EvaluationOptions:
    """The options that the flags ask for.

    Parameters
    ----------
    args : argparse.Namespace
    scale : int, of the network; None takes the flag's, or `SCALE`.
    """
    scales = (scale, args.scale, 2 if args.passes > 1 else SCALE)
    chosen = next(value for value in scales if value is not None)
    return EvaluationOptions(**{**given_options(args, EvaluationOptions), "scale": chosen})


@dataclass(frozen=True, eq=False)
class Weights:
    """The files of weights that there are, without those found damaged.

    Attributes
    ----------
    entries : list of zoo.Entry
    """

    entries: list[zoo.Entry]

    @classmethod
    def found(cls, out: Path) -> Weights:
        """Those that ship and those trained under a folder; each damaged file is told on stderr."""
        entries, damaged = zoo.available(out)
        for line in damaged:
            warn(line)
        return cls(entries)

    def best(self, model: str, options: EvaluationOptions) -> Trained | None:
        """The best weights of a model for a scale and a kind of LR, or None.

        A file that turns out to be damaged is told on stderr, and the next best one is taken.
        """
        entries = list(self.entries)
        while entry := zoo.choose(entries, model, options.scale, options.lr_kind):
            try:
                return read(entry.path)
            except InputError as error:
                warn(str(error))
                entries.remove(entry)
        return None

    def scales(self, model: str) -> list[int]:
        """The scales that there are weights of a model for."""
        return sorted({entry.scale for entry in self.entries
                       if model in (entry.name, entry.model)})

    def names(self) -> Iterable[str]:
        """What --model may be."""
        return dict.fromkeys([*NETWORKS, *(entry.name for entry in self.entries)])


def choose_trained(args: argparse.Namespace, out: Path = OUT) -> Trained:
    """The trained network that the flags ask for.

    Parameters
    ----------
    args : argparse.Namespace with weights, model, scale and those of `EvaluationOptions`
    out : Path, the folder of the stages

    Raises
    ------
    InputError if both --weights and --model are given, or there are no such weights.
    """
    if args.weights and args.model:
        raise InputError("expected --weights or --model but got both; give one of them")
    if args.weights:
        return _of_scale(read(zoo.find(args.weights, args.scale)), args.scale)
    weights, options = Weights.found(out), evaluation_options(args)
    model = args.model or "elsr"
    if model not in weights.names():
        raise InputError(f"expected a model of {', '.join(weights.names())} but got {model!r}")
    return weights.best(model, options) or _no_weights(weights, model, options.scale)


def _of_scale(trained, scale):
    if scale not in (None, trained.scale):
        raise InputError(f"expected weights for x{scale} but {trained.path} holds x{trained.scale}")
    return trained


def _no_weights(weights, model, scale):
    others = " and ".join(f"x{other}" for other in weights.scales(model) if other != scale)
    raise InputError(
        f"no weights of {model} x{scale} under {OUT}/stage1 ... stage5, and none ship"
        + (f"; there are some at {others}: give --scale" if others else "")
        + f"; run `python train.py --stage 1..5 --model {model}` or give --weights")


def choose_every_kind(args: argparse.Namespace, out: Path = OUT) -> list[Trained]:
    """The best weights of every kind of network that there are any of, for the scale and the LR.

    Raises
    ------
    InputError if there are none at all.
    """
    weights, options = Weights.found(out), evaluation_options(args)
    found = [weights.best(model, options) for model in NETWORKS]
    found = [trained for trained in found if trained]
    return found or _no_weights(weights, "elsr", options.scale)


def load_candidate(trained: Trained, args: argparse.Namespace) -> Candidate:
    """A network and its engine, told in a line and drawn into the folder of the pictures."""
    from elsr_paddle.engines.engine import EngineOptions
    from elsr_paddle.evaluation.candidates import make_candidate
    from elsr_paddle.evaluation.network_figure import network_figure

    options = EngineOptions(engine=args.engine, device=args.device, **variations(args))
    candidate = make_candidate(trained.network.name, trained, options)
    print(f"weights {trained.path} ({candidate.name} x{candidate.scale}) for {trained.degradation} "
          f"LR, engine {candidate.engine.name} on {candidate.engine.device}, "
          f"protocol {evaluation_options(args).protocol}")
    suffix = "" if candidate.name == "elsr" else f"_{candidate.name}"
    network_figure(args.plots / f"architecture{suffix}.png", trained.network)
    return candidate


def about(candidate: Candidate, options: EvaluationOptions) -> dict[str, Any]:
    """What stands beside the figures in the JSON file."""
    return {"scale": options.scale, "protocol": options.protocol, "degradation": options.lr_kind,
            "weights": str(candidate.trained.path), "engine": candidate.engine.name,
            "device": candidate.engine.device}
