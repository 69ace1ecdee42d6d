"""What stands in the database, looked at and shown: what waits, how old it is, what is wrong.

Promises: what cannot be read is not shown, so an outage of Postgres is no proof that all is well, and
it is shown again by the first look that succeeds. What was read in the same turn stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from marketdata.clock import Clock
from marketdata.storage.breakers import PostgresBreakers
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.ledger import Imbalance, PostgresLedger
from marketdata.storage.outbox import PostgresOutbox
from marketdata.storage.stale_jobs import PostgresStaleJobs
from marketdata.telemetry import logs
from marketdata_poller.measures import StandingMeasures

_log = logs.get("standing")

_BALANCE_SECONDS = 60.0  # reads every open event and every job, in every poller
T = TypeVar("T")


@dataclass
class _Look(Generic[T]):
    """One question, asked every so many seconds at most, and where its answer is shown; None is no answer."""

    read: Callable[[], T]
    show: Callable[[T | None], None]
    every_seconds: float = 0.0
    taken_at: float = float("-inf")

    def take(self, now: float) -> None:
        if now - self.taken_at >= self.every_seconds:
            self.show(self.read())
            self.taken_at = now

    def forget(self) -> None:
        self.show(None)
        self.taken_at = float("-inf")


class Standing:
    """Every poller looks; used by one thread."""

    def __init__(
        self,
        *,
        outbox: PostgresOutbox,
        breakers: PostgresBreakers,
        queue: PostgresJobQueue,
        providers: Sequence[str],
        letters: PostgresDeadLetterRelay,
        stale_jobs: PostgresStaleJobs,
        ledger: PostgresLedger,
        measures: StandingMeasures,
        clock: Clock,
    ) -> None:
        self._measures = measures
        self._clock = clock
        self._looks = (
            _Look(outbox.depth, measures.depth),
            _Look(breakers.open_now, measures.breakers),
            _Look(lambda: queue.lateness(providers), measures.due),
            _Look(letters.waiting, measures.letters),
            _Look(stale_jobs.count, measures.stale, _BALANCE_SECONDS),
            _Look(ledger.imbalance, self._balance, _BALANCE_SECONDS),
        )

    def look(self) -> None:
        """Show what is there now. Raises StoreUnavailable; what was not read by then is not shown."""
        now = self._clock.monotonic()
        taken = 0
        try:
            for each in self._looks:
                each.take(now)
                taken += 1
        finally:
            for each in self._looks[taken:]:
                each.forget()

    def _balance(self, imbalance: Imbalance | None) -> None:
        self._measures.imbalance(imbalance)
        if imbalance and (imbalance.polls or imbalance.events):
            _log.error("the ledgers do not balance", polls=imbalance.polls, events=imbalance.events)
