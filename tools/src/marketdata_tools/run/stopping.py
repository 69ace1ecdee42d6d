"""Being asked to end: what signals say, in a form that a loop can wait on.

Not a threading.Event: its lock is not reentrant, and a signal handler that sets one while the main
thread is inside its `wait` would wait for itself for ever.
"""

import contextlib
import select
import signal
import socket
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Counts the requests to end: the first ends in order, a second one hurries."""

    def __init__(self) -> None:
        """Listen to nothing yet."""
        self._requests = 0
        self._awake, self._wake = socket.socketpair()
        self._wake.settimeout(0)

    def listen(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP of this process."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def close(self) -> None:
        """Ignore the signals from now on, and let go of what the waiting needs; idempotent."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._awake.close()
        self._wake.close()

    @property
    def is_asked(self) -> bool:
        """Tell whether anybody asked."""
        return self._requests > 0

    @property
    def is_urgent(self) -> bool:
        """Tell whether somebody asked again."""
        return self._requests > 1

    def wait(self, seconds: float) -> bool:
        """Wait for a request for up to `seconds`, and tell whether there is one."""
        if not self.is_asked:
            select.select([self._awake], [], [], seconds)
        return self.is_asked

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._requests += 1
        with contextlib.suppress(BlockingIOError):  # it is awake many times over by then
            self._wake.send(b"\0")
