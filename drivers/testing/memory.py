"""What a piece of work leaves in memory."""

import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def bytes_held_after(work: Callable[[], None]) -> int:
    """What `work` has allocated and not given back. It has a thread of its own, and what it raises passes through.

    There no tracer follows it: what coverage notes of each line would be counted, too, and counting it takes twenty
    times as long as the work.
    """

    def measured() -> int:
        sys.settrace(None)  # this thread's
        tracemalloc.start()
        try:
            work()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return held

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(measured).result()
