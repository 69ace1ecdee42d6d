"""Promises about age, judged by the real poller over what the stand-in answers and the consumer serves."""

import re
import urllib.request
from uuid import UUID

import pytest

from marketdata.domain.job import Slo
from support.builders import a_job
from support.waiting import eventually

# Longer than a price waits on a busy machine, and soon over where none comes any more.
MAX_AGE = 15
_SECONDS = 'marketdata_poller_promise_seconds_total{{provider="yfinance",result="{}"}}'
_BUDGET = 'marketdata_poller_promise_budget_seconds_total{provider="yfinance"}'


def promise(world, *symbols) -> UUID:
    """Make a job that has been polled for long already, so that its time counts."""
    job = a_job(*symbols, provider="yfinance", interval_seconds=1, slo=Slo(MAX_AGE, "99"))
    world.book.create(job)
    return job.job_id


def covered(world):
    """Let the time from now on count."""
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql("update polling_schedule set awake_since = now() - interval '1 hour'")
        connection.exec_driver_sql("update promise_clock set judged_until = now()")
        connection.exec_driver_sql("delete from promise_ledger")
        connection.exec_driver_sql("delete from promise_days")


def served(world, symbols):
    eventually(
        lambda: world.count("latest_prices", "observed_at > now() - interval '4 s'") >= symbols, within=40
    )


def month(world, job):
    return world.book.get(job).standing.month


def judged(world, times, *, within=60):
    """Return when `times` more stretches are judged."""
    for _ in range(times):
        before = world.scalar("select judged_until from promise_clock")
        eventually(
            lambda: world.count("promise_clock", f"judged_until > '{before}'"),  # noqa: B023 - called at once
            within=within,
        )


def metrics(poller):
    port = poller.says(r"metrics_port\D+(\d+)")[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^(marketdata_poller_promise\S*) (\S+)$", text, re.MULTILINE)
    }


@pytest.mark.timeout(180)
def test_a_promise_is_kept_while_prices_come_and_broken_while_they_are_frozen(world):
    world.consumer()
    job = promise(world, "AAPL", "MSFT")
    poller = world.poller()
    served(world, 2)
    covered(world)
    judged(world, 2)
    well = month(world, job)
    assert well.counted >= 20
    assert well.kept == pytest.approx(well.counted)

    world.upstream.fault("frozen", symbols=["AAPL"])
    eventually(lambda: month(world, job).counted - month(world, job).kept > 5, within=90)
    found = month(world, job)
    assert found.kept - well.kept >= (found.counted - well.counted) / 2 - 1, "the other symbol is well"

    def are_told() -> bool:
        shown = metrics(poller)
        kept, broken = (shown[_SECONDS.format(result)] for result in ("kept", "broken"))
        assert broken > 5
        assert kept >= found.kept - 1
        assert shown[_BUDGET] == pytest.approx((kept + broken) / 100)
        return True

    eventually(are_told, within=20)  # what is judged is in the database before it is told


@pytest.mark.timeout(180)
def test_a_closed_market_does_not_count_and_a_provider_that_fails_breaks_the_promise(world):
    world.consumer()
    job = promise(world, "AAPL")
    world.poller()
    served(world, 1)
    world.upstream.fault("closed")
    eventually(lambda: world.count("latest_prices", "market_state = 'CLOSED'") == 1, within=30)
    covered(world)
    judged(world, 2)
    assert month(world, job).counted == 0

    world.upstream.reset()
    world.upstream.fault("status", status=503)
    eventually(lambda: month(world, job).counted - month(world, job).kept > 5, within=90)


@pytest.mark.timeout(180)
def test_time_without_any_poller_is_judged_by_the_next_one(world):
    world.consumer()
    job = promise(world, "AAPL")
    first = world.poller()
    served(world, 1)
    first.kill()
    covered(world)
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql("update promise_clock set judged_until = now() - interval '150 s'")
        connection.exec_driver_sql(
            """update latest_prices set observed_at = observed_at - interval '150 s', recent_times =
            (select array_agg(at - interval '150 s' order by at)::text
             from unnest(recent_times::timestamptz[]) as at)"""
        )

    second = world.poller()
    judged(world, 1)

    found = month(world, job)
    assert found.counted - found.kept > 100
    told = []

    def rose():
        told.append(metrics(second).get(_SECONDS.format("broken")))
        return (told[-1] or 0) > 100

    eventually(rose, within=20)
    assert next(value for value in told if value is not None) == 0, "what a series begins with is no rise"
