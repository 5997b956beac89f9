"""Tell what a file of weights holds: the network, how it was trained, and whether it is whole."""

from __future__ import annotations

import json

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.shared import run
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import Trained, read


def main(argv: list[str] | None = None) -> None:
    """Print a file's network, operation by operation, and its metadata."""
    parser = Parser(prog="elsr info", description=__doc__)
    parser.add_argument("file", metavar="FILE",
                        help="file of weights, or the name of a network that ships")
    parser.add_argument("--scale", type=int, help="of a network that ships (default: 4)")
    parser.add_argument("--json", action="store_true", help="print it for scripts")
    args = parser.parse_args(argv)
    found = read(zoo.find(args.file, args.scale))
    if args.json:
        print(json.dumps({**_summary(found), "metadata": found.metadata}, indent=2))
        return
    for name, value in _summary(found).items():
        print(f"{name.replace('_', ' '):17} {value}")
    print("operations")
    for number, node in enumerate(found.graph.nodes):
        reads = f" of {', '.join(map(str, node.sources))}" if node.sources else ""
        print(f"  {number:3} {node.op.describe()}{reads}")
    print("metadata", json.dumps(found.metadata, indent=2), sep="\n")


def _summary(found: Trained):
    return {
        "file": str(found.path),
        "model": found.network.name,
        "scale": found.scale,
        "colour": found.network.colour,
        "for_lr_by": found.degradation,
        "parameters": found.graph.parameter_count,
        "multiply_adds": f"{found.graph.multiply_adds:,} a pixel of the picture",
        "reaches": "the whole picture" if found.graph.radius is None
        else f"{found.graph.radius} pixels to each side",
    }


if __name__ == "__main__":
    run(main)
