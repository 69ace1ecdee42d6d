"""Looking out for due jobs: one cheap query for all providers, and a nudge to the loops concerned.

A job new in the table is seen within IDLE_SECONDS of becoming due, a known one on time, as the
watch wakes when the earliest is due rather than at fixed intervals.
"""

import threading
from collections.abc import Mapping

from marketdata.clock import Clock
from marketdata.storage.job_queue import PostgresJobQueue

IDLE_SECONDS = 0.2


class DueWatch:
    """Wakes the loop of each provider that has something due; used by one thread."""

    def __init__(
        self,
        *,
        queue: PostgresJobQueue,
        wakes: Mapping[str, threading.Event],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._queue = queue
        self._wakes = wakes
        self._clock = clock
        self._stop = stop

    def turn(self) -> bool:
        """Look once, and again when the next job is due if that is soon. Raises StoreUnavailable."""
        due = self._queue.next_due(list(self._wakes))
        for provider, seconds in due.items():
            if seconds <= 0:
                self._wakes[provider].set()
        soon = min((seconds for seconds in due.values() if seconds > 0), default=IDLE_SECONDS)
        if soon < IDLE_SECONDS:
            # Returning earlier than asked would spin, later would be late: the exact rest of the wait.
            self._clock.wait(soon, self._stop)
            return True
        return False
