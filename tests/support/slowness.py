"""How slow this machine is at the moment: a promise about seconds is made for one that is free."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TICK_SECONDS = 0.01
_MOST_SECONDS = 0.03  # that a tick counts: one that took longer had to wait for a processor


def slowness() -> float:
    """Return how many processes compete for each processor, 1 at least."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Stopwatch:
    """Seconds in which this process could run; those in which the machine let it wait do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the block, in ticks of a thread that wants a processor as seldom as one who waits."""
    watch, ended = Stopwatch(), threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not ended.wait(_TICK_SECONDS):
            now = time.monotonic()
            watch.seconds += min(now - last, _MOST_SECONDS)
            last = now

    thread = threading.Thread(target=tick, name="stopwatch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
