"""Test a network on stills: the same as `elsr test`."""

from elsr_paddle.commands.test import main
from elsr_paddle.commands.shared import run

if __name__ == "__main__":
    run(main)
