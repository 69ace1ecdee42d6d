"""Time as an argument.

Product code never asks the operating system for the time: it is handed a `Clock`, or uses the
database's `now()` where several processes must agree (due times, leases, breakers).
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a process learns what time it is."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Block up to `seconds` or until `stop` is set; return whether it is set."""


class SystemClock:
    """The operating system's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place that may ask

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        return stop.wait(max(0.0, seconds))


class ManualClock:
    """Stands still until told to move; waiting moves it at once."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._seconds = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        self.advance(max(0.0, seconds))
        return stop.is_set()
