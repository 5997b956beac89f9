"""Test a network on a clip: the same as `elsr test-video`."""

from elsr_paddle.commands.shared import run
from elsr_paddle.commands.test_video import main

if __name__ == "__main__":
    run(main)
