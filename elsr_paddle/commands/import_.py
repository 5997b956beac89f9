"""Import a published checkpoint: others' names and shapes become a file of weights of this project.

The file is read without running anything it may hold, and without PyTorch.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from elsr_paddle.commands.arguments import Parser, add_options, given_options
from elsr_paddle.commands.shared import run
from elsr_paddle.data.degradations import DEGRADATIONS
from elsr_paddle.errors import InputError
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks.published import load_published, translated
from elsr_paddle.networks.weights import save_tensors

PROGRAM = "elsr import"


def main(argv: list[str] | None = None) -> None:
    """Read a checkpoint, check every parameter, and write it as weights of this project."""
    args = parse(argv)
    if args.output.exists() and not args.overwrite:
        raise InputError(f"{args.output} exists; give --overwrite to replace it")
    if args.output.suffix != ".safetensors":
        raise InputError(f"expected a .safetensors file for --output but got {args.output}")
    network = build(args.model, given_options(args, NETWORKS[args.model]))
    theirs = load_published(args.file)
    try:
        arrays = translated(network, theirs, args.range)
    except InputError as error:
        raise InputError(f"{args.file}: {error}") from error
    save_tensors(args.output, arrays, {
        "model": network.name, "config": network.config, "degradation": args.degradation,
        "imported": _provenance(args, len(theirs))})
    print(f"{args.output}: {network.name} x{network.scale}, "
          f"{network.graph.parameter_count:,} parameters of {args.file}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The arguments; the flags below --model are the options of that network."""
    early = Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    early.add_argument("--model")
    model = early.parse_known_args(argv)[0].model
    parser = Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE",
                        help="checkpoint of PyTorch (.pt, .pth) or Paddle (.pdparams)")
    parser.add_argument("--model", required=True, choices=NETWORKS, help="the network it is of")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE",
                        help="file of weights to write, .safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--range", type=int, choices=(1, 255), help="largest value of the pixels "
                        "that it is for (default: as the network's authors publish it)")
    parser.add_argument("--degradation", choices=DEGRADATIONS, default="bicubic",
                        help="how the LR images were made that it is for (default: %(default)s)")
    parser.add_argument("--source", metavar="TEXT", help="where the checkpoint comes from, for the "
                        "metadata: an address, a licence")
    if model in NETWORKS:
        add_options(parser.add_argument_group(f"the network, options of {model}"), NETWORKS[model])
    return parser.parse_args(argv)


def _provenance(args, count):
    """What the metadata tell of the file that the weights come from."""
    known = {"file": args.file.name, "tensors": count,
             "sha256": hashlib.sha256(args.file.read_bytes()).hexdigest()}
    return {**known, "source": args.source} if args.source else known


if __name__ == "__main__":
    run(main)
