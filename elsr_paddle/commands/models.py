"""List the networks that there are, what they cost, and the weights at hand."""

from __future__ import annotations

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.shared import OUT, run, warn
from elsr_paddle.evaluation.published import FRAME_PIXELS
from elsr_paddle.evaluation.tables import table
from elsr_paddle.networks import NETWORKS, build, zoo


def main(argv: list[str] | None = None) -> None:
    """Print a row for each file of weights, and for each network without any."""
    parser = Parser(prog="elsr models", description=__doc__)
    parser.parse_args(argv)
    entries, damaged = zoo.available(OUT)
    without = [name for name in NETWORKS if name not in {entry.model for entry in entries}]
    print(table(["--model", "scale", "reads", "weights and biases", "M multiply-adds", "for LR by",
                 "file"],
                [*map(_row, entries), *map(_row_without_weights, without)]))
    print("multiply-adds are those of a frame of 320x180; `elsr info FILE` tells more of a file")
    for line in damaged:
        warn(line)


def _row(entry):
    network = build(entry.model, zoo.read_metadata(entry.path)["config"])
    return [entry.name, f"x{entry.scale}", *_cost(network), entry.degradation,
            str(entry.path) if entry.stage else "ships"]


def _row_without_weights(name):
    network = NETWORKS[name]()
    return [name, f"x{network.graph.scale}", *_cost(network), None, "none: train it"]


def _cost(network):
    count = network.graph.parameter_count
    millions = FRAME_PIXELS * network.graph.multiply_adds / 1e6
    return {"rgb": "RGB", "y": "luma"}[network.colour], f"{count:,}", f"{millions:,.0f}"


if __name__ == "__main__":
    run(main)
