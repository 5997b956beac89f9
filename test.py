"""Test a network on stills: the same as `elsr test`."""

from elsr_paddle.commands.shared import run
from elsr_paddle.commands.test import main

if __name__ == "__main__":
    run(main)
