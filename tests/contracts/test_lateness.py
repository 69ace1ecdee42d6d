"""How late polling is, as the autoscaler of the pollers is told."""

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from marketdata.domain.poll import outcome_of
from marketdata.errors import UnknownSymbol
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.outcomes import PostgresOutcomes, Recording
from support.builders import a_job
from support.servers import Database

HOUR = timedelta(hours=1)
PROVIDERS = ["synthetic", "yfinance"]


class Jobs:
    """A queue, and jobs that have been due for as long as wanted."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        self.book = PostgresJobBook(database.engine)
        self.queue = PostgresJobQueue(database.engine, owner="first", lease=HOUR)
        self._began: dict[str, float] = {}

    def due(self, symbol: str, *, seconds_ago: float) -> None:
        job = self.book.create(a_job(symbol, interval_seconds=86_400))
        self._began[symbol] = time.monotonic() - seconds_ago
        with self.engine.begin() as connection:
            connection.execute(
                sa.text("update polling_schedule set due_at = now() - :ago where job_id = :id"),
                {"ago": timedelta(seconds=seconds_ago), "id": job.job_id},
            )

    def is_late(self, symbol: str, *, at_least: float) -> bool:
        """Tell whether the provider is as late as this symbol's job, however long the test has taken."""
        late = self.queue.lateness(PROVIDERS)["synthetic"]
        return at_least <= late <= time.monotonic() - self._began[symbol]


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def test_the_oldest_due_job_counts_until_it_is_served_whoever_has_taken_it(jobs: Jobs) -> None:
    jobs.due("OLD", seconds_ago=100)
    jobs.due("NEW", seconds_ago=20)
    assert jobs.is_late("OLD", at_least=100)
    assert jobs.queue.lateness(PROVIDERS)["yfinance"] == 0

    claim = jobs.queue.claim("synthetic")
    assert claim is not None
    assert len(claim.jobs) == 2
    assert jobs.queue.next_due(PROVIDERS) == {}
    assert jobs.is_late("OLD", at_least=100)

    outcomes = PostgresOutcomes(jobs.engine, poller="first", lease=HOUR)
    (oldest,) = (job for job in claim.jobs if job.symbols == ("OLD",))
    missed = {"OLD": outcome_of(UnknownSymbol(), claim.claimed_at)}
    outcomes.record(Recording("synthetic", claim.claimed_at, [oldest], {}, missed=missed))
    assert jobs.is_late("NEW", at_least=20)


def test_a_job_that_is_not_due_is_not_late(jobs: Jobs) -> None:
    jobs.due("SOON", seconds_ago=-30)

    assert jobs.queue.lateness(PROVIDERS) == {"synthetic": 0, "yfinance": 0}
