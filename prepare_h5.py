"""Make files of LR/HR pairs for training: the same as `elsr prepare`."""

from elsr_paddle.commands.prepare import main
from elsr_paddle.commands.shared import run

if __name__ == "__main__":
    run(main)
