"""Train a network in stages: the same as `elsr train`."""

from elsr_paddle.commands.train import main
from elsr_paddle.commands.shared import run

if __name__ == "__main__":
    run(main)
