"""What the scripts share: how they fail, and where they look when no path is given."""

from __future__ import annotations

import sys
from pathlib import Path

from elsr_paddle.errors import InputError

DATA = Path("data")
DEMO = DATA / "demo"
OUT = Path("out")
PLOTS = Path("plots")


def run(main):
    """Run a script's `main` and exit: 0, 2 with one line for bad input, 130 for Ctrl-C."""
    try:
        sys.exit(main())
    except (InputError, FileNotFoundError) as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error):
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
