"""Enlarge pictures, folders and videos: the same as `elsr`."""

from elsr_paddle.commands.main import entry

if __name__ == "__main__":
    entry()
