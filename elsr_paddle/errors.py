"""The one exception a user of this package is meant to read."""


class InputError(ValueError):
    """What was given cannot be used: says what was expected, what came and what to do.

    Scripts print it as one line and exit with status 2. Every other exception is a bug of ours and
    keeps its traceback, plain ValueError included: Paddle raises that for its own faults.
    """
