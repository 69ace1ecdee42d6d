"""Decides when a consumer is beyond help: messages wait, nothing moves, and nobody is to blame.

Guards against clients that stop delivering without an error (confluent-kafka-python 970 and 1653).
A restart is right only then: with a dependency away, waiting is right.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Watchdog:
    """Pure but for what it remembers; times are monotonic seconds."""

    limit_seconds: float
    _well_at: float | None = None

    def observe(self, now: float, *, moved: bool, lag: int, dependencies_answer: bool) -> bool:
        """Return True once there was lag and no movement for the limit while dependencies answered."""
        if self._well_at is None or moved or lag == 0 or not dependencies_answer:
            self._well_at = now
        return now - self._well_at > self.limit_seconds
