"""What the consumer needs of others, said by the consumer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.price import PricePoint
from marketdata.domain.series import AverageRow, Neighbours, Series, SeriesState

T = TypeVar("T")


class Message(Protocol):
    """One message as received: confluent_kafka.Message fits."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...
    def set_headers(self, value: list[tuple[str, bytes | None]], /) -> None: ...

    def timestamp(self) -> tuple[int, int]:
        """Return what kind of time the broker keeps with it, 0 for none, and its Unix milliseconds."""


class EventStream(Protocol):
    """The topic, as a member of the group. One thread uses it; only `consume` talks to the group."""

    def consume(self, limit: int, timeout: float) -> Mapping[int, Sequence[Message]]:
        """Return up to `limit` messages by partition, in offset order; block for `timeout` < 0.2 s at most.

        Returns nothing for partitions that are not running, and fewer than `limit` where no more were
        there for the moment, or errors and what came twice were among them. Calls the observers of
        assignment and loss. Raises StreamUnavailable where the client cannot go on and must be made anew.
        """

    def assigned(self) -> frozenset[int]:
        """Return the partitions that are this member's now; new ones stand still until `run`."""

    def outside(self) -> frozenset[int]:
        """Return the partitions that stopped because their position is outside the log.

        They never flow again in this stream.
        """

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset there is and the next one to be written. Raises StreamUnavailable."""

    def run(self, positions: Mapping[int, int]) -> frozenset[int]:
        """Let partitions flow from these positions; return those that took it, the rest to be tried again.

        Messages fetched from elsewhere before are never returned after this. Idempotent.
        """

    def halt(self, partitions: Sequence[int]) -> None:
        """Make partitions stand still, what was prefetched of them thrown away. Idempotent."""

    def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the group the positions, for lag tools only; does not wait, and never raises."""

    def close(self) -> None:
        """Leave the group; idempotent. Blocks for seconds at most, whether the group answers or not."""


class LogDirectory(Protocol):
    """What the broker says of a topic, whoever reads it. Both block for seconds; any thread may ask."""

    def account(self, topic: str) -> str | None:
        """Return which log the topic is now, None where there is no such topic. Raises StreamUnavailable."""

    def ends(self, topic: str) -> Mapping[int, int]:
        """Return the offset that each partition's next message will have. Raises StreamUnavailable."""


class PartitionLog(Protocol):
    """One partition as the brokers tell it."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def committed(self) -> int | None:
        """Where the group said that it stands; None where it never did."""


class GroupLog(Protocol):
    """What the brokers say of one topic and of one group's place in it, members or none.

    One thread asks. Both questions block for seconds, change nothing and raise StreamUnavailable.
    """

    def partitions(self) -> Mapping[int, PartitionLog]:
        """Return all partitions, each with what was told; empty where there is no such topic."""

    def published_at(self, positions: Mapping[int, int]) -> tuple[Mapping[int, datetime], frozenset[str]]:
        """Return when the first message at or after each position was published.

        Partitions that did not tell in time, or told a time that cannot be, are left out; beside them
        is what is known of why, perhaps once only.
        """

    def close(self) -> None:
        """Let go of the connections; the next question makes new ones. Idempotent."""


class Positions(Protocol):
    """Where each partition of an account stands. All methods raise StoreUnavailable."""

    def open_account(self, account: str, topic: str) -> bool:
        """Make `account` the open one of `topic`, closing any other; return whether that was news."""

    def read(self, account: str, log_starts: Mapping[int, int]) -> dict[int, int]:
        """Return the position of each partition in `log_starts`, opening new ones at the log's start.

        Raises Fenced where the account is closed.
        """

    def reopen(
        self, account: str, partition: int, *, position: int, log_start: int, log_end: int, reason: str
    ) -> bool:
        """Count the gap and move the position to the log's start; False if it is not at `position` now."""


class PriceTransaction(Protocol):
    """One database transaction: nothing of it is seen before it commits."""

    def lock_positions(self, account: str, expected: Mapping[int, int]) -> None:
        """Lock in partition order; raises Fenced unless each is as expected and the account open."""

    def lock_series(self, series: Sequence[Series]) -> dict[Series, SeriesState]:
        """Lock the series in key order, new ones too, and return the state of those that have points."""

    def neighbours(self, questions: Mapping[Series, Sequence[datetime]]) -> dict[Series, Neighbours]:
        """Return the stored points around each instant; every series asked is in the answer."""

    def write_points(self, points: Sequence[PricePoint], replaced: Sequence[PricePoint]) -> None: ...

    def write_averages(self, rows: Sequence[AverageRow], recomputed: Sequence[AverageRow]) -> None: ...

    def write_states(self, states: Sequence[SeriesState]) -> None: ...

    def write_dead_letters(self, account: str, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters; one that is kept already is left as it is."""

    def move_positions(self, account: str, moves: Mapping[int, "PositionMove"]) -> None: ...


class PositionMove(Protocol):
    """What is added to the row of one partition."""

    @property
    def next_offset(self) -> int: ...
    @property
    def consumed(self) -> int: ...
    @property
    def superseded(self) -> int: ...
    @property
    def redelivered(self) -> int: ...
    @property
    def dead(self) -> int: ...


class PriceStore(Protocol):
    """Where points, averages and latest prices live."""

    def transact(self, work: Callable[[PriceTransaction], T]) -> T:
        """Run `work` in a transaction and commit; run it again, whole, after a deadlock.

        Raises StoreUnavailable; whether it committed is then unknown, and the positions tell.
        """

    def changed_within(self, seconds: int) -> list[PricePoint]:
        """Return the newest point of each series that changed in the last `seconds`."""


class LatestCache(Protocol):
    """The cache of latest prices: never the truth."""

    def write(self, points: Sequence[PricePoint]) -> int:
        """Put each point unless a newer one is there; one round trip; return how many went in.

        Idempotent. Raises CacheUnavailable, soon.
        """


__all__ = [
    "DeadLetter",
    "EventStream",
    "GroupLog",
    "LatestCache",
    "LogDirectory",
    "Message",
    "PartitionLog",
    "PositionMove",
    "Positions",
    "PriceStore",
    "PriceTransaction",
]
