"""Do work in threads ahead of its consumer, in order and within bounds."""

from __future__ import annotations

import math
import os
import queue
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

_END = object()
_PATIENCE = 0.1  # seconds between two looks at whether the consumer has gone


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
    waiting = deque()  # (weight, future)
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        for item in items:
            heavy = weight(item) if weight else 0
            while waiting and (len(waiting) >= ahead
                               or heavy + sum(w for w, _ in waiting) > budget):
                yield waiting.popleft()[1].result()
            waiting.append((heavy, pool.submit(function, item)))
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(items, depth, leave=None):
    """Yield `items`, worked out by a thread of its own that runs at most `depth` items ahead.

    Put around each stage of a chain of generators it makes them overlap, as far as they release
    the GIL; memory stays bounded because every queue is.

    Parameters
    ----------
    items : iterable, used by the new thread alone; a generator is closed there.
    depth : int, items that may wait.
    leave : callable, called when no more items are wanted: ends a wait of `items` for a source.

    Yields
    ------
    the items, in order. What `items` raises is raised here. When the consumer stops early (an
    error, Ctrl-C, `close()`), the thread ends after the item it is working on.
    """
    waiting = queue.Queue(maxsize=depth)
    gone = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, waiting, gone), daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        gone.set()
        if leave:
            leave()
        thread.join()


@contextmanager
def ordinary():
    """Leave no thread of this process a real-time one that was none before.

    SVT-AV1 gives its threads and the caller's the highest priority wherever it may, as for root in
    a container. They then take the processors from all other programs, and from our own threads.
    """
    tasks = Path("/proc/self/task")  # of Linux
    watched = tasks.exists() and os.sched_getscheduler(0) == os.SCHED_OTHER
    try:
        yield
    finally:
        for thread in tasks.iterdir() if watched else ():
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                    os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


def _produce(items, waiting, gone):
    """Fill the queue until the items end, fail, or nobody waits for them any more."""
    items = iter(items)
    try:
        for item in items:
            if not _offer(waiting, (item, None), gone):
                break
        else:
            _offer(waiting, (_END, None), gone)
    except BaseException as error:  # handed to the consumer's thread and raised there
        _offer(waiting, (None, error), gone)
    finally:
        if hasattr(items, "close"):
            items.close()


def _offer(waiting, entry, gone):
    """Put an entry into a full queue as soon as there is room; False when the consumer left."""
    while not gone.is_set():
        with suppress(queue.Full):
            waiting.put(entry, timeout=_PATIENCE)
            return True
    return False
