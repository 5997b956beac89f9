"""Work done ahead of the one who needs it, in order and within bounds."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor


def ordered_map(function, items, *, workers, ahead=None, weight=None, budget=math.inf):
    """Yield function(item) for every item, in order, computed in threads ahead of the caller.

    Threads, because decoders, OpenCV and numpy's copies release the GIL. Items are drawn only as
    results are taken, so neither side runs away with the memory. Closing the generator (or losing
    it to an exception or Ctrl-C) cancels what has not begun and waits for what has.

    Parameters
    ----------
    function : callable of one item; what it raises is raised here, at that item's turn.
    items : iterable, read in the caller's thread
    workers : int, threads, at least 1
    ahead : int, items under way or finished and not yet taken, at most; default 2 * workers.
    weight : callable(item) that tells how much an item takes, such as its pixels
    budget : number, what the items under way may weigh together; one always goes, however heavy.
    """
    ahead = ahead or 2 * workers
    queue = deque()  # (weight, future)
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        for item in items:
            heavy = weight(item) if weight else 0
            while queue and (len(queue) >= ahead or heavy + sum(w for w, _ in queue) > budget):
                yield queue.popleft()[1].result()
            queue.append((heavy, pool.submit(function, item)))
        while queue:
            yield queue.popleft()[1].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
