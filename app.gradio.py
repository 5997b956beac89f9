"""Show the page that enlarges pictures and films in a browser: the same as `elsr app`."""

from elsr_paddle.commands.app import main
from elsr_paddle.commands.shared import run

if __name__ == "__main__":
    run(main)
