"""Train a network in stages: the same as `elsr train`."""

from elsr_paddle.commands.shared import run
from elsr_paddle.commands.train import main

if __name__ == "__main__":
    run(main)
