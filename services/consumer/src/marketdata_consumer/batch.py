"""A batch: messages taken from the stream, decoded, grouped and ranked among themselves.

Pure. Everything here is known before the database is asked, and is therefore worked out while the
batch before is still being written.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from marketdata.domain.price import MAX_AHEAD, PricePoint
from marketdata.domain.series import Series
from marketdata.errors import PoisonMessage
from marketdata.messages.price_event import decode_batch
from marketdata_consumer.deadletters import dead_letter
from marketdata_consumer.ports import DeadLetter, Message

# Points are small and a batch of them is bounded by number; letters may have a megabyte each.
HEAVY_BYTES = 8 * 2**20

_observed_at = attrgetter("observed_at")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# In milliseconds, as the broker's times, which a producer may set to any 64 bits: more than datetime and
# timedelta hold. An hour is between the clocks of poller and broker, another between provider and poller.
_AHEAD = MAX_AHEAD // _MILLISECOND
_FAR_AHEAD = 2 * _AHEAD


@dataclass(slots=True)
class Move:
    """One partition's part of a batch: from the position it must start at to the one it ends at.

    `superseded` and `redelivered` are counted in two places: within the batch, and against the
    store, where a repeated transaction counts afresh.
    """

    expected: int
    next_offset: int
    consumed: int = 0
    superseded: int = 0
    redelivered: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes.

    `series` maps each series to its points in the order of observed_at, the best of each instant
    only. `partition_of` tells where a point came from, by identity. Losers are counted in `moves`;
    `within` holds the counts of those that lost to a point of this very batch. `published` holds
    the broker's time of each partition's first message, in seconds since the epoch.
    """

    moves: Mapping[int, Move]
    within: Mapping[int, tuple[int, int]]
    series: Mapping[Series, Sequence[PricePoint]]
    partition_of: Mapping[int, int]
    dead_letters: Sequence[DeadLetter]
    size: int
    published: Collection[float] = ()

    def recount(self) -> None:
        """Forget losers counted against the store: the transaction begins anew."""
        for partition, move in self.moves.items():
            move.superseded, move.redelivered = self.within[partition]


@dataclass(slots=True)
class Gathering:
    """Messages taken so far for the next batch; `add` in the order of arrival, then `seal`."""

    positions: dict[int, int]
    _points: dict[int, list[PricePoint]] = field(default_factory=dict)
    _moves: dict[int, Move] = field(default_factory=dict)
    _dead: list[DeadLetter] = field(default_factory=list)
    _published: dict[int, float] = field(default_factory=dict)
    size: int = 0

    @property
    def is_heavy(self) -> bool:
        """Whether the dead letters, which keep their bytes, are enough for one transaction."""
        return sum(letter.size for letter in self._dead) > HEAVY_BYTES

    def add(self, partition: int, messages: Sequence[Message]) -> None:
        """Take messages of one partition, in offset order, the first at or past its position."""
        decoded = dated(messages, decode_batch([message.value() for message in messages]))
        move = self._moves.get(partition)
        if move is None:
            start = self.positions[partition]
            move = self._moves[partition] = Move(start, start)
            kind, milliseconds = messages[0].timestamp()
            if kind != 0 and milliseconds >= 0:  # any other is no time that an age could be told from
                self._published[partition] = milliseconds / 1000
        points = self._points.setdefault(partition, [])
        good = [point for point in decoded if type(point) is PricePoint]
        if len(good) != len(decoded):
            bad = [
                dead_letter(message, error)
                for message, error in zip(messages, decoded, strict=True)
                if isinstance(error, PoisonMessage)
            ]
            self._dead += bad
            move.dead += len(bad)
        points += good
        move.consumed += len(messages)
        self.size += len(messages)
        last = messages[-1].offset()
        assert last is not None, "a consumed message has an offset"
        move.next_offset = self.positions[partition] = last + 1

    def drop(self, partitions: Sequence[int]) -> None:
        """Forget what was taken of `partitions`: they are someone else's now, or are read again."""
        for partition in partitions:
            self._points.pop(partition, None)
            self._published.pop(partition, None)
            move = self._moves.pop(partition, None)
            if move is not None:
                self.size -= move.consumed
        self._dead = [letter for letter in self._dead if letter.partition not in partitions]

    def seal(self) -> Batch:
        """Return the batch and begin an empty one."""
        batch = group(self._points, self._moves, self._dead, self.size, self._published.values())
        self._points, self._moves, self._dead, self._published, self.size = {}, {}, [], {}, 0
        return batch


def dated(
    messages: Sequence[Message], decoded: list[PricePoint | PoisonMessage]
) -> list[PricePoint | PoisonMessage]:
    """Return `decoded` with poison for each point that lies ahead of its message's own time.

    A foreign event may lack `fetched_at`, or have one as wrong as its timestamp; it would be the
    latest price until that time comes, or outrank all later answers for its instant. The broker's time
    stays with a message, so whoever reads it again judges it the same.
    """
    # A point is observed at most an hour after it is fetched, so this covers both of its times.
    newest = max((point.fetched_at for point in decoded if type(point) is PricePoint), default=_EPOCH)
    horizon = _milliseconds(newest) - _AHEAD
    if all(at >= horizon for _, at in (message.timestamp() for message in messages)):
        return decoded
    return [
        PoisonMessage(f"{field} is more than two hours after the message's own time")
        if type(point) is PricePoint and (field := _field_ahead(point, message))
        else point
        for message, point in zip(messages, decoded, strict=True)
    ]


def _field_ahead(point: PricePoint, message: Message) -> str | None:
    kind, milliseconds = message.timestamp()
    if kind == 0:
        return None
    if _milliseconds(point.observed_at) > milliseconds + _FAR_AHEAD:
        return "timestamp"
    return "fetched_at" if _milliseconds(point.fetched_at) > milliseconds + _FAR_AHEAD else None


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def group(
    points: Mapping[int, Sequence[PricePoint]],
    moves: Mapping[int, Move],
    dead: Sequence[DeadLetter],
    size: int,
    published: Collection[float] = (),
) -> Batch:
    """Return the batch of the points of each partition, ranked within each series."""
    by_series: dict[Series, list[PricePoint]] = {}
    partition_of: dict[int, int] = {}
    for partition, taken in points.items():
        for point in taken:
            series = (point.provider, point.symbol)
            known = by_series.get(series)
            if known is None:
                by_series[series] = [point]
            else:
                known.append(point)
        partition_of.update(dict.fromkeys(map(id, taken), partition))
    for series, unordered in by_series.items():
        last: datetime | None = None
        for point in unordered:
            if last is not None and point.observed_at <= last:
                by_series[series] = _best(unordered, moves, partition_of)
                break
            last = point.observed_at
    within = {p: (move.superseded, move.redelivered) for p, move in moves.items()}
    return Batch(moves, within, by_series, partition_of, dead, size, published)


def _best(
    points: Sequence[PricePoint], moves: Mapping[int, Move], partition_of: Mapping[int, int]
) -> list[PricePoint]:
    best: dict[datetime, PricePoint] = {}
    for point in points:
        rival = best.setdefault(point.observed_at, point)
        if rival is point:
            continue
        loser = rival if point.rank > rival.rank else point
        if loser is rival:
            best[point.observed_at] = point
        count_loser(moves[partition_of[id(loser)]], loser.rank == best[point.observed_at].rank)
    return sorted(best.values(), key=_observed_at)


def count_loser(move: Move, is_same_answer: bool) -> None:  # noqa: FBT001 - the question is the value
    """Count an event that changed nothing: known already, or outranked by another answer."""
    if is_same_answer:
        move.redelivered += 1
    else:
        move.superseded += 1
