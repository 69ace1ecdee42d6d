"""Which jobs count as not keeping their promise."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from marketdata.domain.job import PollingJob, Slo
from marketdata.storage.budget import PostgresBudget
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.stale_jobs import PostgresStaleJobs
from support.builders import a_job
from support.servers import Database

_LONG_AGO = timedelta(days=1)


class Jobs:
    """Jobs of any age with prices of any age."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        self.book = PostgresJobBook(database.engine)
        PostgresBudget(database.engine).register(["synthetic"])

    def add(self, job: PollingJob, *, age: timedelta = _LONG_AGO) -> None:
        self.book.create(job)
        with self.engine.begin() as connection:
            connection.execute(
                sa.text("update polling_jobs set updated_at = now() - :age where job_id = :id"),
                {"age": age, "id": job.job_id},
            )

    def price(self, symbol: str, *, seconds_ago: float, provider: str = "synthetic") -> None:
        with self.engine.begin() as connection:
            connection.execute(
                sa.text("""
                    insert into latest_prices (provider, symbol, observed_at, price, raw_response_id,
                      fetched_at, recent_times, recent_prices)
                    values (:provider, :symbol, now() - interval '3 days', 1, gen_random_uuid(),
                      now() - make_interval(secs => :ago), '{}', '{}')
                """),
                {"provider": provider, "symbol": symbol, "ago": seconds_ago},
            )

    def stale(self) -> dict[str, int]:
        return PostgresStaleJobs(self.engine).count()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def test_a_job_is_stale_once_one_price_is_older_than_its_interval_promises(jobs: Jobs) -> None:
    jobs.add(a_job("A", "B", interval_seconds=60))
    jobs.add(a_job("A", interval_seconds=60))
    jobs.price("A", seconds_ago=180)
    jobs.price("B", seconds_ago=200)

    assert jobs.stale() == {"synthetic": 1}


def test_a_price_of_a_closed_market_that_is_still_confirmed_is_not_stale(jobs: Jobs) -> None:
    jobs.add(a_job("A"))
    jobs.price("A", seconds_ago=1)  # observed three days ago

    assert jobs.stale() == {"synthetic": 0}


def test_a_job_s_own_promise_counts_before_the_one_of_its_interval(jobs: Jobs) -> None:
    jobs.add(a_job("A", interval_seconds=60, slo=Slo(max_age_seconds=90, target="99.9")))
    jobs.price("A", seconds_ago=120)

    assert jobs.stale() == {"synthetic": 1}


def test_a_symbol_that_never_had_a_price_makes_its_job_stale_when_it_is_no_longer_young(jobs: Jobs) -> None:
    jobs.add(a_job("NEVER", interval_seconds=60))
    jobs.add(a_job("YOUNG", interval_seconds=60), age=timedelta(seconds=100))

    assert jobs.stale() == {"synthetic": 1}


def test_a_suspended_job_promises_nothing(jobs: Jobs) -> None:
    jobs.add(a_job("A", suspended=True))

    assert jobs.stale() == {}


def test_providers_that_nobody_has_installed_share_one_name(jobs: Jobs) -> None:
    jobs.add(a_job("A", provider="invented"))
    jobs.add(a_job("A", provider="dreamt-up"))

    assert jobs.stale() == {"other": 2}
