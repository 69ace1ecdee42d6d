"""Finds the partitions that deliver nothing although their log goes on.

librdkafka drops a resume that its own pause for a rebalance overtakes, and says so to nobody: the
partition stands for good while the others flow (librdkafka issue 5591, in 2.16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The wait doubles each time, so that a slow fetch is let through, and what is no stall (the end of a log
# that somebody writes in transactions is a marker, which is never delivered) costs little.
MOST_SECONDS = 300.0


@dataclass(slots=True)
class Stall:
    """Where a partition stands, since when (monotonic seconds, None: not ours), and how often it was told."""

    position: int
    since: float | None = None
    tries: int = 0


@dataclass(slots=True)
class Stalls:
    """Pure but for what it remembers; to be asked only when the client has nothing more to deliver.

    That it had nothing at both ends of a wait tells a partition that stands from one whose messages
    wait behind those of others.
    """

    limit_seconds: float
    _stalls: dict[int, Stall] = field(default_factory=dict)

    def observe(
        self, now: float, *, positions: Mapping[int, int], ends: Mapping[int, int], seen_at: float
    ) -> Mapping[int, Stall]:
        """Return the partitions that stood before their log's end for the limit, again after twice as long.

        `ends` are the broker's answer of `seen_at`; a wait that it does not cover is no stall, and
        where it names no end all is forgotten. A partition that is not in `positions` for a while
        begins to wait anew, as long as it would have.
        """
        for partition, stall in self._stalls.items():
            if partition not in positions:
                stall.since = None
        told: dict[int, Stall] = {}
        for partition, position in positions.items():
            if position >= ends.get(partition, 0):
                self._stalls.pop(partition, None)
                continue
            stall = self._stalls.setdefault(partition, Stall(position))
            if stall.position != position:
                stall = self._stalls[partition] = Stall(position)
            if stall.since is None:
                stall.since = now
            elif min(now, seen_at) - stall.since >= min(self.limit_seconds * 2**stall.tries, MOST_SECONDS):
                stall.since = now
                stall.tries += 1
                told[partition] = stall
        return told
