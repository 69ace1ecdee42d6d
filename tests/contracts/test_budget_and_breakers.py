"""The request budget and the breakers that all pollers share."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from marketdata.errors import BreakerOpen, RateLimited, UnknownSymbol, UpstreamUnavailable
from marketdata.storage.breakers import PostgresBreakers
from marketdata.storage.budget import Bucket, PostgresBudget
from support.servers import Database
from support.waiting import eventually

SLOW = Bucket(per_second=0.001, burst=5)


def execute(database: Database, statement: str) -> sa.CursorResult[Any]:
    with database.engine.begin() as connection:
        return connection.execute(sa.text(statement))


@pytest.fixture
def budget(database: Database) -> PostgresBudget:
    made = PostgresBudget(database.engine)
    made.register(["yfinance"])
    return made


def test_a_new_budget_grants_one_request_and_no_burst(budget: PostgresBudget) -> None:
    assert budget.take("yfinance", SLOW).granted

    refused = budget.take("yfinance", SLOW)
    assert not refused.granted
    assert refused.wait_seconds == pytest.approx(1000, rel=0.1)


def test_a_budget_fills_to_its_burst_and_no_further(database: Database, budget: PostgresBudget) -> None:
    execute(database, "update providers set refilled_at = now() - interval '1 day'")

    assert [budget.take("yfinance", SLOW).granted for _ in range(6)] == [True] * 5 + [False]


def test_many_takers_at_once_get_what_is_there_and_not_one_more(
    database: Database, budget: PostgresBudget
) -> None:
    execute(database, "update providers set tokens = 5")
    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(lambda _: budget.take("yfinance", SLOW).granted, range(40)))

    assert sum(granted) == 5
    assert execute(database, "select requests from providers").scalar_one() == 5


def test_a_database_clock_that_went_back_takes_nothing_away(
    database: Database, budget: PostgresBudget
) -> None:
    execute(database, "update providers set tokens = 3, refilled_at = now() + interval '1 hour'")

    assert budget.take("yfinance", SLOW).left == pytest.approx(2)


def test_a_budget_that_is_empty_when_the_clock_goes_back_fills_as_before_and_no_faster(
    database: Database, budget: PostgresBudget
) -> None:
    bucket = Bucket(per_second=20, burst=5)
    execute(database, "update providers set tokens = 0, refilled_at = now() + interval '1 hour'")
    before = execute(database, "select clock_timestamp()").scalar_one()

    refused = budget.take("yfinance", bucket)
    assert not refused.granted
    assert refused.left == 0
    assert refused.wait_seconds == pytest.approx(0.05)
    eventually(lambda: budget.take("yfinance", bucket).granted, within=20, every=0.01)

    filled = execute(database, "select tokens + 1 from providers").scalar_one()
    passed = execute(database, "select clock_timestamp()").scalar_one() - before
    assert filled <= 20 * passed.total_seconds()


def test_a_refusal_takes_no_time_from_what_fills(database: Database, budget: PostgresBudget) -> None:
    since = (
        "update providers set tokens = 0, refilled_at = now() - interval '400 seconds' returning refilled_at"
    )
    refilled_at = execute(database, since).scalar_one()

    assert not budget.take("yfinance", SLOW).granted
    assert execute(database, "select refilled_at from providers").scalar_one() == refilled_at


def test_registering_again_leaves_the_budget_as_it_is(database: Database, budget: PostgresBudget) -> None:
    budget.take("yfinance", SLOW)
    budget.register(["yfinance", "synthetic"])

    assert execute(database, "select tokens from providers where provider = 'yfinance'").scalar_one() < 1


def test_a_rate_limit_seen_by_one_poller_silences_the_other(database: Database) -> None:
    one, other = (PostgresBreakers(database.engine, owner=name) for name in ("one", "other"))
    one.failed("yfinance", "quote", RateLimited(retry_after=timedelta(seconds=200)))

    with pytest.raises(BreakerOpen) as caught:
        other.admit("yfinance", "quote")
    assert timedelta(seconds=190) < caught.value.retry_after <= timedelta(seconds=200)
    other.admit("yfinance", "chart")
    other.admit("alpha_vantage", "quote")
    assert other.open_now() == {("yfinance", "quote"): True}


def test_of_all_pollers_one_probes_a_half_open_breaker_and_its_success_closes_it(database: Database) -> None:
    pollers = [PostgresBreakers(database.engine, owner=str(number)) for number in range(8)]
    pollers[0].failed("yfinance", "quote", RateLimited())
    execute(database, "update provider_breakers set open_until = now() - interval '1 s'")

    def admitted(breakers: PostgresBreakers) -> PostgresBreakers | None:
        try:
            breakers.admit("yfinance", "quote")
        except BreakerOpen:
            return None
        return breakers

    with ThreadPoolExecutor(8) as threads:
        winners = [found for found in threads.map(admitted, pollers) if found]
    assert len(winners) == 1
    next(p for p in pollers if p is not winners[0]).succeeded("yfinance", "quote")
    assert pollers[0].open_now() == {("yfinance", "quote"): False}
    winners[0].succeeded("yfinance", "quote")
    assert pollers[0].open_now() == {}
    pollers[3].admit("yfinance", "quote")


def test_a_half_open_breaker_that_nobody_asks_is_told_for_a_quarter_of_an_hour(database: Database) -> None:
    one, other = (PostgresBreakers(database.engine, owner=name) for name in ("one", "other"))
    one.failed("yfinance", "chart", RateLimited())
    ended = "update provider_breakers set open_until = now() - interval"
    execute(database, f"{ended} '4 minutes'")
    assert other.open_now() == {("yfinance", "chart"): False}
    execute(database, f"{ended} '6 minutes'")
    assert other.open_now() == {}

    one.admit("yfinance", "chart")
    assert other.open_now() == {("yfinance", "chart"): False}
    one.failed("yfinance", "chart", RateLimited())
    assert other.open_now() == {("yfinance", "chart"): True}


def test_a_probe_given_up_is_anothers(database: Database) -> None:
    one, other = (PostgresBreakers(database.engine, owner=name) for name in ("one", "other"))
    one.failed("yfinance", "quote", RateLimited())
    execute(database, "update provider_breakers set open_until = now() - interval '1 s'")
    one.admit("yfinance", "quote")
    with pytest.raises(BreakerOpen):
        other.admit("yfinance", "quote")
    one.give_up_probe("yfinance", "quote")

    other.admit("yfinance", "quote")


def test_an_unknown_symbol_counts_as_an_answer(database: Database) -> None:
    breakers = PostgresBreakers(database.engine, owner="one")
    for _ in range(4):
        breakers.failed("yfinance", "quote", UpstreamUnavailable())
    breakers.failed("yfinance", "quote", UnknownSymbol())
    breakers.failed("yfinance", "quote", UpstreamUnavailable())

    breakers.admit("yfinance", "quote")
