"""Work done ahead of the one who needs it, in order and within bounds."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice


def ordered_map(function, items, *, workers, ahead=None):
    """Yield function(item) for every item, in order, computed in threads ahead of the caller.

    Threads, because decoders, OpenCV and numpy's copies release the GIL. Items are drawn only as
    results are taken, so neither side runs away with the memory. Closing the generator (or losing
    it to an exception or Ctrl-C) cancels what has not begun and waits for what has.

    Parameters
    ----------
    function : callable of one item; what it raises is raised here, at that item's turn.
    items : iterable, read in the caller's thread
    workers : int, threads, at least 1
    ahead : int, results computed or under way beyond the one handed out; default 2 * workers.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        first = islice(items, ahead or 2 * workers)
        pending = deque(pool.submit(function, item) for item in first)
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
