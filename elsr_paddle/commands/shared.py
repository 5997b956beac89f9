"""Hold what all commands share: how they end, and where they look when no path is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from elsr_paddle import __version__
from elsr_paddle.errors import InputError, one_line

DATA = Path("data")
DEMO = DATA / "demo"
OUT = Path("out")
PLOTS = Path("plots")
PROGRESS = ("auto", "json", "none")  # how a command shows how far it is, see `progress.bar`
VERSION = f"elsr-paddle {__version__}, Python {sys.version.split()[0]}"
TRAIN = ("h5py", "matplotlib", "skimage")  # what the extra `train` brings, as it is imported


def run(main: Callable[[], int | None]) -> None:
    """Run a command and exit: 0, 2 with one line for bad input, 130 for Ctrl-C.

    What the file system refuses (no such file, not permitted, disk full) counts as bad input, and
    so does a package of the extra `train` that is not installed.
    """
    try:
        status = main()
        sys.stdout.flush()  # a reader that has gone, as in `| head`, shows here at the latest
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        status = 141  # what a shell reports of a program that SIGPIPE ended
    except (InputError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        status = 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAIN:
            raise
        print(f"error: {package} is not installed: `pip install 'elsr-paddle[train]'` brings it",
              file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def warn(text: str) -> None:
    """Tell a person what is not as expected but does not stop the command."""
    print(f"warning: {text}", file=sys.stderr)


def say(text: str) -> None:
    """Tell a person, on a line of its own beside any progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def say_of(source: Path, text: str) -> None:
    """Tell a person of an input."""
    say(f"{source}: {text}")


class Skipped:
    """What could not be read: told at once in a line each, and counted at the end."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __call__(self, error: Exception) -> None:
        """Note what an input's error says."""
        self.messages.append(" ".join(str(error).split()))
        print(f"skipped: {self.messages[-1]}", file=sys.stderr)

    def status(self) -> int:
        """The command's exit status, after a summary of what was skipped, if anything was."""
        if not self.messages:
            return 0
        print(f"{len(self.messages)} skipped:", *self.messages, sep="\n  ", file=sys.stderr)
        return 2
