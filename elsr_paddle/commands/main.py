"""Run `elsr`: enlarge what is given, or one of the other commands.

`elsr photo.jpg -o large.png` enlarges; `elsr train --stage 1` trains, and so on. A file that is
called as a command is meant with a folder: `elsr ./train -o large`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from elsr_paddle.commands.shared import run

COMMANDS = {
    "prepare": "make files of LR/HR pairs for training",
    "train": "train a network in stages",
    "test": "test a network on stills",
    "test-video": "test a network on a clip",
    "export": "write a network for other runtimes",
    "models": "list the networks and the weights that are there",
    "info": "tell what a file of weights holds",
    "import": "turn a checkpoint of PyTorch into a file of weights",
    "app": "enlarge on a page in the browser",
}


def main(argv: list[str] | None = None) -> int | None:
    """Run the command that the first argument names; without one, enlarge."""
    argv = sys.argv[1:] if argv is None else argv
    name = argv[0] if argv and argv[0] in COMMANDS else "enlarge"
    file = "import_" if name == "import" else name.replace("-", "_")  # a keyword names no module
    module = import_module(f"elsr_paddle.commands.{file}")
    return module.main(argv[name != "enlarge":])


def entry() -> None:
    """Run `elsr` and exit with its status: what the installed command calls."""
    run(main)
