"""From a signal to the event that every loop of a process waits on.

Python runs a handler in the main thread, between two of its instructions, and neither is good enough.
If that thread is just then inside `Event.wait` and holds the event's lock, `Event.set` in the handler
waits for it for ever. And if it waits without end, it runs the handler only where the signal woke it:
the system may give the signal to any other thread, as it does where a process that stood still was
told to end before it went on. So a thread of its own sets the event, and hears of the signal through
the descriptor that CPython writes to in whichever thread the signal arrives.
"""

import os
import signal
import threading
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` when SIGTERM or SIGINT comes. Call once, from the main thread; never blocks.

    Takes the process's one wakeup descriptor: no event loop of the main thread may handle signals beside it.
    """
    reader, writer = os.pipe()  # for as long as the process lives
    os.set_blocking(writer, False)

    def pass_on() -> None:
        while heard := os.read(reader, 64):  # a byte for each signal, its number; those of others too
            if any(number in heard for number in _NUMBERS):
                stop.set()

    threading.Thread(target=pass_on, name="stop", daemon=True).start()
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _NUMBERS:
        signal.signal(number, _ignore)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Take the place of what would end the process, as SIG_IGN would, which tells nobody."""
