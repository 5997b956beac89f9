"""Work that overlaps: each stage of a pipeline in a thread of its own."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

_END = object()
_PATIENCE = 0.1  # seconds between two looks at whether the consumer has gone


def ahead(items, depth):
    """Yield `items`, worked out by a thread of its own that runs at most `depth` items ahead.

    Put around each stage of a chain of generators it makes them overlap, as far as they release
    the GIL; memory stays bounded because every queue is.

    Parameters
    ----------
    items : iterable, used by the new thread alone; a generator is closed there.
    depth : int, items that may wait.

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
        thread.join()


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
