"""How far behind the group is, partition by partition. Pure.

A position outside its log starts again at the log's start, as the consumer does it, and a group
that never committed begins there. So what is told is what a consumer has before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from marketdata_consumer.ports import PartitionLog


@dataclass(frozen=True, slots=True)
class Unread:
    """What waits in one partition: from which offset on, and how many messages at most."""

    position: int
    messages: int


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of all partitions; `seconds` lacks the partitions of which it is unknown."""

    messages: Mapping[int, int]
    seconds: Mapping[int, float]

    @property
    def total(self) -> int:
        return sum(self.messages.values())

    @property
    def longest_seconds(self) -> float | None:
        """The lag in seconds of the partition behind most; None where one is unknown."""
        if self.seconds.keys() != self.messages.keys():
            return None
        return max(self.seconds.values(), default=0.0)


def unread(log: PartitionLog) -> Unread:
    """Return what of `log` the group has not consumed; offsets of no message count too."""
    position = log.committed
    if position is None or not log.start <= position <= log.end:
        position = log.start
    return Unread(position, log.end - position)


def lag(waiting: Mapping[int, Unread], published_at: Mapping[int, datetime], now: datetime) -> Lag:
    """Return the lag, given when the first message of each partition that waits was published."""
    seconds = {
        partition: 0.0 if each.messages == 0 else max(0.0, (now - published_at[partition]).total_seconds())
        for partition, each in waiting.items()
        if each.messages == 0 or partition in published_at
    }
    return Lag({partition: each.messages for partition, each in waiting.items()}, seconds)
