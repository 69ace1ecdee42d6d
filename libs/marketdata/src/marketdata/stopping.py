"""From a signal to the event that every loop of a process waits on.

A handler runs between two instructions of the main thread. If that thread is just then inside
`Event.wait` and holds the event's lock, `Event.set` in the handler waits for it for ever. So the
handler only puts into a SimpleQueue, which is made for that (it may be re-entered), and a thread of
its own sets the event.
"""

import queue
import signal
import threading
from types import FrameType


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` when SIGTERM or SIGINT comes. Call once, from the main thread; never blocks."""
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.put(number)

    def pass_on() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=pass_on, name="stop", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
