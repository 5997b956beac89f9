"""Run `python -m elsr_paddle` as the command `elsr`."""

from elsr_paddle.commands.main import entry

entry()
