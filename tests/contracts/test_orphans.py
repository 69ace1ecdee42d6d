"""Whose jobs a poller fails for want of a provider, on the real tables."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import pytest

from marketdata.clock import ManualClock
from marketdata.storage.budget import PostgresBudget
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata_poller.cycle import PollCycle
from marketdata_poller.orphans import UNSEEN, Orphans
from marketdata_poller.ports import Provider
from support.builders import a_job
from support.servers import Database


class Failing:
    """Stands for the cycle that fails the due jobs of a provider; one turn is enough."""

    def turn(self) -> bool:
        return False


class Poller:
    """One poller's look for orphans; `failed` are the providers whose jobs it failed."""

    def __init__(self, database: Database, installed: Sequence[str]) -> None:
        self.failed: list[str] = []
        self.clock = ManualClock()
        self._orphans = Orphans(
            providers=installed,
            budget=PostgresBudget(database.engine),
            queue=PostgresJobQueue(database.engine, owner="one", lease=timedelta(seconds=30)),
            cycle=self._cycle,
            clock=self.clock,
            on_step=lambda _: None,
        )

    def _cycle(self, provider: Provider) -> PollCycle:
        self.failed.append(provider.name)
        return cast("PollCycle", Failing())

    def looks(self) -> list[str]:
        """Take a turn and return whose jobs have been failed so far, in order of name."""
        assert not self._orphans.turn()
        return sorted(self.failed)

    def looks_when(self, waited: timedelta) -> list[str]:
        self.clock.advance(waited.total_seconds())
        return self.looks()


ALMOST = UNSEEN - timedelta(seconds=1)


@pytest.fixture
def jobs(database: Database) -> Database:
    """A database with a due job of each of three providers, none of them named by a poller yet."""
    book = PostgresJobBook(database.engine)
    for provider in ("yfinance", "synthetic", "nobody"):
        book.create(a_job("AAPL", provider=provider))
    return database


@pytest.mark.parametrize("installed", [("yfinance",), ("synthetic", "yfinance"), ("synthetic",)])
def test_in_a_new_database_a_poller_fails_others_jobs_and_never_its_own(
    jobs: Database, installed: tuple[str, ...]
) -> None:
    poller = Poller(jobs, installed)
    assert poller.looks() == []

    assert poller.looks_when(UNSEEN) == sorted({"yfinance", "synthetic", "nobody"} - set(installed))


def test_the_first_poller_to_start_fails_no_job_of_a_poller_that_starts_behind_it(jobs: Database) -> None:
    first, second = Poller(jobs, ["yfinance"]), Poller(jobs, ["synthetic"])
    assert first.looks() == []
    assert first.looks_when(ALMOST) == []

    second.looks()

    assert first.looks_when(timedelta(hours=1)) == ["nobody"]


def test_pollers_that_were_all_away_wait_for_each_other_again(jobs: Database) -> None:
    Poller(jobs, ["synthetic", "yfinance"]).looks()
    with jobs.engine.begin() as connection:
        connection.exec_driver_sql("update providers set seen_at = now() - interval '1 day'")
    first = Poller(jobs, ["yfinance"])

    assert first.looks() == []
    assert first.looks_when(ALMOST) == []
    assert first.looks_when(timedelta(seconds=1)) == ["nobody", "synthetic"]


def test_what_was_missed_for_long_fails_at_once_whenever_it_is_due(jobs: Database) -> None:
    poller = Poller(jobs, ["yfinance", "synthetic"])
    poller.looks()
    poller.looks_when(UNSEEN)

    assert poller.looks() == ["nobody", "nobody"]


def test_the_log_names_a_missed_provider_once(jobs: Database, capsys: pytest.CaptureFixture[str]) -> None:
    poller = Poller(jobs, ["yfinance", "synthetic"])
    poller.looks()
    poller.looks_when(ALMOST)

    said = capsys.readouterr()
    assert (said.out + said.err).count("jobs wait for a provider") == 1
