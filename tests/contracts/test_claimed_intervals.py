"""What a claim tells of jobs that are not due: how soon the symbols it took are asked for again."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from marketdata.domain.job import PollingJob
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import QUICKER, PostgresJobQueue
from support.builders import a_job, a_seldom_interval, an_origin
from support.servers import Database

HOUR = timedelta(hours=1)
PROVIDER = "synthetic"


class Jobs:
    """Jobs of which none falls due while a test lasts, but the one that is asked for."""

    def __init__(self, database: Database) -> None:
        self.book = PostgresJobBook(database.engine)
        self.queue = PostgresJobQueue(database.engine, owner="tests", lease=HOUR)
        self.slow = a_seldom_interval(PROVIDER)
        self.quick = a_seldom_interval(PROVIDER, below=self.slow)

    def polled_before(self, database: Database, job: PollingJob) -> PollingJob:
        """Make `job` as it is after its first poll."""
        made = self.book.create(job)
        with database.engine.begin() as connection:
            connection.execute(
                sa.text("update polling_schedule set due_at = now() + :hour where job_id = :id"),
                {"hour": HOUR, "id": made.job_id},
            )
        return made

    def quicker(self) -> dict[str, int]:
        """Return what the claim of a slow job for AAPL and MSFT tells of others."""
        slow = self.book.create(a_job("AAPL", "MSFT", interval_seconds=self.slow))
        claim = self.queue.claim(PROVIDER)
        assert claim is not None
        assert [job.job_id for job in claim.jobs] == [slow.job_id]
        return claim.quicker


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def test_a_job_claimed_alone_is_told_of_a_quicker_one_that_is_not_due(database: Database, jobs: Jobs) -> None:
    jobs.polled_before(database, a_job("AAPL", "TSLA", interval_seconds=jobs.quick))

    assert jobs.quicker() == {"AAPL": jobs.quick}


@pytest.mark.parametrize("fate", ["suspended", "deleted", "retired", "of another provider"])
def test_a_job_that_polls_no_more_or_asks_another_provider_shortens_nothing(
    database: Database, jobs: Jobs, fate: str
) -> None:
    provider = "yfinance" if fate == "of another provider" else PROVIDER
    origin = an_origin()
    job = a_job(
        "AAPL",
        "MSFT",
        interval_seconds=jobs.quick,
        provider=provider,
        origin=origin if fate == "retired" else None,
    )
    if fate == "retired":
        jobs.book.sync("demo", [job])
        jobs.book.sync("demo", [], retire=[origin.uid])
    else:
        jobs.polled_before(database, job)
    if fate == "suspended":
        jobs.book.set_suspended(job.job_id, suspended=True)
    if fate == "deleted":
        jobs.book.delete(job.job_id)

    assert jobs.quicker() == {}


def test_the_lookup_reads_quicker_jobs_alone_among_ten_thousand(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            sa.text("""
                insert into polling_jobs (job_id, origin, symbols, provider, interval_seconds)
                select gen_random_uuid(), 'api', array['S' || number % 500, 'T' || number % 70], :provider,
                  case when number % 100 = 0 then 5 else 60 end
                from generate_series(1, 10000) as number
            """),
            {"provider": PROVIDER},
        )
        connection.execute(sa.text("analyze polling_jobs"))
        plan = "\n".join(
            connection.scalars(
                sa.text(f"explain {QUICKER.text}"),
                {"provider": PROVIDER, "symbols": ["S1", "T1"], "longest": 60},
            )
        )

    assert "polling_jobs_by_interval" in plan
    assert "Seq Scan" not in plan
