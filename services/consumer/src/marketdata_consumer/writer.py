"""The order of effects for one batch.

The transaction is the only effect that counts. The cache and the group's offsets follow it and may
be lost: the cache is repaired from the store, the group's offsets are only looked at by lag tools.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from marketdata.domain.price import PricePoint
from marketdata.steps import StepObserver, unobserved
from marketdata.telemetry.traces import NO_TRACES, Span, Traces, within
from marketdata_consumer.batch import Batch
from marketdata_consumer.fold import Plan, fold, questions
from marketdata_consumer.ports import PriceStore, PriceTransaction
from marketdata_consumer.steps import ConsumerStep

_UNTRACED = nullcontext()


@dataclass(frozen=True, slots=True)
class Written:
    """A batch that is in the store: what became of its events."""

    stored: int
    superseded: int
    redelivered: int
    dead: int


class BatchWriter:
    """Writes one batch at a time. Used by one thread."""

    def __init__(
        self,
        *,
        store: PriceStore,
        feed: Callable[[list[PricePoint]], None],
        traces: Traces = NO_TRACES,
        on_step: StepObserver = unobserved,
    ) -> None:
        """`feed` takes the new latest prices to the cache; it never raises and is soon back."""
        self._store = store
        self._feed = feed
        self._traces = traces
        self._on_step = on_step

    def write(self, account: str, batch: Batch, origins: Sequence[str] = ()) -> Written:
        """Write `batch`, some of whose events have the traceparents `origins`, and tell the cache.

        Raises Fenced where the positions are not the ones the batch was read from (nothing is
        written), StoreUnavailable where it is unknown whether it was written: doing it again is safe,
        and ends in Fenced if it was.
        """
        if not origins:
            return self._write(account, batch, None)
        span, *others = self._spans(batch, origins)
        with within(span, *others):
            return self._write(account, batch, span.traceparent)

    def _spans(self, batch: Batch, origins: Sequence[str]) -> list[Span]:
        """Return the batch's span, and one in each poll's trace where there are several polls.

        A poll's trace thus ends in the store and the cache whichever batch took its events, and a
        batch of one poll needs no second span for it.
        """
        first, *more = origins
        if not more:
            span = self._traces.begin("consume", kind="consumer", parent=first)
            span.tell(events=batch.size, series=len(batch.series))
            return [span]
        span = self._traces.begin("consume", kind="consumer", links=origins)
        span.tell(events=batch.size, series=len(batch.series))
        mine = [span.traceparent] if span.traceparent else []
        return [
            span,
            *(self._traces.begin("stored", kind="consumer", parent=each, links=mine) for each in origins),
        ]

    def _write(self, account: str, batch: Batch, parent: str | None) -> Written:
        # 1. One transaction. Dying before its commit leaves nothing of the batch and the positions
        #    where they were: the batch is read again.
        with self._part("transaction", parent):
            plan = self._store.transact(lambda transaction: self._transact(transaction, account, batch))
        self._on_step(ConsumerStep.TRANSACTION_COMMITTED)
        # 2. The cache. Dying before leaves it behind the store until the next event of each series;
        #    whoever gets these partitions rewrites what changed within the TTL.
        with self._part("cache", parent):
            self._feed([state.newest for state in plan.states])
        self._on_step(ConsumerStep.CACHE_WRITTEN)
        moves = batch.moves.values()
        superseded = sum(move.superseded for move in moves)
        redelivered = sum(move.redelivered for move in moves)
        dead = sum(move.dead for move in moves)
        return Written(batch.size - superseded - redelivered - dead, superseded, redelivered, dead)

    def _part(self, name: str, parent: str | None) -> AbstractContextManager[None]:
        return _UNTRACED if parent is None else within(self._traces.begin(name, parent=parent))

    def _transact(self, transaction: PriceTransaction, account: str, batch: Batch) -> Plan:
        on_step = self._on_step
        # A deadlock runs this again: what a run counts goes into moves of its own.
        batch.recount()
        # 1. Positions, in partition order: from here on nobody else writes these partitions.
        transaction.lock_positions(account, {p: move.expected for p, move in batch.moves.items()})
        on_step(ConsumerStep.POSITIONS_LOCKED)
        # 2. Series, in key order: from here on nobody else adds to them.
        keys = sorted(batch.series)
        states = transaction.lock_series(keys) if keys else {}
        on_step(ConsumerStep.SERIES_LOCKED)
        asked = questions(batch, states)
        plan = fold(batch, states, transaction.neighbours(asked) if asked else {})
        # 3. Points, 4. averages, 5. latest prices, and what was refused, all unseen until the commit.
        transaction.write_points(plan.points, plan.replaced)
        on_step(ConsumerStep.POINTS_WRITTEN)
        transaction.write_averages(plan.averages, plan.recomputed)
        on_step(ConsumerStep.AVERAGES_WRITTEN)
        transaction.write_states(plan.states)
        on_step(ConsumerStep.LATEST_WRITTEN)
        if batch.dead_letters:
            transaction.write_dead_letters(account, batch.dead_letters)
            on_step(ConsumerStep.DEAD_LETTERS_WRITTEN)
        transaction.move_positions(account, batch.moves)
        on_step(ConsumerStep.POSITIONS_MOVED)
        return plan
