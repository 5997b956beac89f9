"""Export a network for other runtimes: the same as `elsr export`."""

from elsr_paddle.commands.export import main
from elsr_paddle.commands.shared import run

if __name__ == "__main__":
    run(main)
