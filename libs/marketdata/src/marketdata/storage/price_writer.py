"""The consumer's transaction: positions, points, averages and latest prices move together.

Locks are taken in one order by everybody, positions by partition and then series by key, so writers
wait for each other and do not deadlock; if they do after all, the whole transaction runs again.
Under the lock of its series a writer alone decides what is new: that is why rows that are new can
be copied in without a conflict.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from marketdata.clock import Clock
from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.price import PricePoint
from marketdata.domain.series import AverageRow, Neighbours, Series, SeriesState
from marketdata.errors import StoreUnavailable
from marketdata.identifiers import uuid7
from marketdata.storage import copying, dead_letters, history_rows, position_rows, series_rows
from marketdata.storage.engine import is_retryable, transaction
from marketdata.storage.series_memory import SeriesMemory, Version

T = TypeVar("T")

# Deadlocks and serialization failures resolve in one or two tries; more means something else is wrong.
_TRIES = 5


class PostgresPriceTransaction:
    """One open transaction. Each method is a statement or two; nothing is seen before the commit."""

    def __init__(self, cursor: Cursor, clock: Clock, memory: SeriesMemory) -> None:
        self._cursor = cursor
        self._clock = clock
        self._memory = memory
        self._version: Version | None = None

    def lock_positions(self, account: str, expected: Mapping[int, int]) -> None:
        """Lock in partition order; raises Fenced unless each is as expected and the account open."""
        position_rows.lock(self._cursor, account, expected)

    def lock_series(self, series: Sequence[Series]) -> dict[Series, SeriesState]:
        """Lock the series in key order, new ones too, and return the state of those that have points."""
        states, self._version = series_rows.lock(self._cursor, series, self._memory)
        return states

    def neighbours(self, questions: Mapping[Series, Sequence[datetime]]) -> dict[Series, Neighbours]:
        """Return the stored points around each instant; every series asked is in the answer."""
        return history_rows.neighbours(self._cursor, questions)

    def write_points(self, points: Sequence[PricePoint], replaced: Sequence[PricePoint]) -> None:
        """Add `points`, of which no row exists; give the rows of `replaced` their new answer."""
        if points:
            copying.copy_into(self._cursor, copying.POINTS, copying.points_text(points))
        if replaced:
            history_rows.replace_points(self._cursor, replaced)

    def write_averages(self, rows: Sequence[AverageRow], recomputed: Sequence[AverageRow]) -> None:
        """Add `rows`, of which none exists; add or overwrite `recomputed`."""
        if rows:
            copying.copy_into(self._cursor, copying.AVERAGES, copying.averages_text(rows))
        if recomputed:
            history_rows.upsert_averages(self._cursor, recomputed)

    def write_states(self, states: Sequence[SeriesState]) -> None:
        """Overwrite the latest prices and recent points of series locked before."""
        if states:
            assert self._version is not None, "series are written under their locks"
            series_rows.write(self._cursor, states)
            self._memory.remember(states, self._version)

    def write_dead_letters(self, account: str, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters; one that is kept already is left as it is."""
        now = self._clock.now()
        dead_letters.insert(self._cursor, account, [(uuid7(now), letter) for letter in letters])

    def move_positions(self, account: str, moves: Mapping[int, position_rows.PositionMove]) -> None:
        """Move positions locked before, and count what was passed."""
        position_rows.move(self._cursor, account, moves)


class PostgresPriceStore:
    """Points, averages and latest prices in Postgres."""

    def __init__(self, engine: sa.Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._memory = SeriesMemory()

    def transact(self, work: Callable[[PostgresPriceTransaction], T]) -> T:
        """Run `work` in a transaction and commit; run it again, whole, after a deadlock.

        `work` must bear that: it may keep nothing from an earlier run. Raises StoreUnavailable;
        whether it committed is then unknown, and the positions tell.
        """
        for _ in range(_TRIES):
            try:
                with (
                    transaction(self._engine) as connection,
                    closing(connection.connection.cursor()) as cursor,
                ):
                    # SQLAlchemy hands out psycopg2's own cursor, and types it as any driver's.
                    return work(PostgresPriceTransaction(cursor, self._clock, self._memory))  # type: ignore[arg-type]
            except Exception as error:
                if not is_retryable(error):
                    raise
        raise StoreUnavailable("the transaction met a deadlock again and again")

    def changed_within(self, seconds: int) -> list[PricePoint]:
        """Return the newest point of each series that changed in the last `seconds`."""
        with transaction(self._engine) as connection:
            rows = connection.execute(
                sa.text(
                    f"""
                    select {series_rows.POINT_COLUMNS} from latest_prices
                    where stored_at > now() - make_interval(secs => :seconds) and observed_at is not null
                    """
                ),
                {"seconds": seconds},
            )
            return [PricePoint(*row) for row in rows]
