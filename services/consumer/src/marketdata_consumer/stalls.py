"""Finds the partitions that deliver nothing although their log goes on.

librdkafka drops a resume that its own pause for a rebalance overtakes, and says so to nobody: the
partition stands for good while the others flow (librdkafka issue 5591, in 2.16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# After so many times only another client helps, and what that does not help is no stall: the end of
# a log that somebody writes in transactions is a marker, which is never delivered.
MOST_TRIES = 3


@dataclass(slots=True)
class Stall:
    """Where a partition stands, since when (monotonic seconds), and how often that was told."""

    position: int
    since: float
    tries: int = 0


@dataclass(slots=True)
class Stalls:
    """Pure but for what it remembers; to be asked only when the client has nothing more to deliver."""

    limit_seconds: float
    _standing: dict[int, Stall] = field(default_factory=dict)
    _tried: dict[int, int] = field(default_factory=dict)

    def observe(
        self, now: float, *, positions: Mapping[int, int], ends: Mapping[int, int]
    ) -> Mapping[int, Stall]:
        """Return the partitions that stood before their log's end for the limit, again after each limit.

        A partition is told MOST_TRIES times at one position. That the client had nothing to deliver
        at both ends of the time tells one that stands from one whose messages wait behind others.
        """
        before, self._standing = self._standing, {}
        for partition, position in positions.items():
            if position >= ends.get(partition, 0) or self._tried.get(partition) == position:
                continue
            stall = before.get(partition)
            if stall is None or stall.position != position:
                stall = Stall(position, now)
            self._standing[partition] = stall
        told = {p: stall for p, stall in self._standing.items() if now - stall.since >= self.limit_seconds}
        for partition, stall in told.items():
            stall.since = now
            stall.tries += 1
            if stall.tries == MOST_TRIES:
                self._tried[partition] = stall.position
        return told
