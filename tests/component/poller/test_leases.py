"""Pollers that stop, die and compete: no tick is recorded twice, and none is left undone."""

import hashlib
from statistics import median

import pytest
import sqlalchemy as sa

from support.slowness import slowness
from support.waiting import eventually, holds


def fetch_is_under_way(world):
    return world.count("polling_schedule", "lease_until > now()") > 0 and any(
        answer.endpoint == "quote" for answer in world.upstream.answers()
    )


@pytest.mark.timeout(120)
def test_a_poller_that_stood_still_past_its_lease_records_nothing_when_it_wakes(world):
    world.upstream.fault("hold", endpoint="quote", times=1)
    job_id = world.watch_once("AAPL", "MSFT")
    sleeper = world.poller(env={"MARKETDATA_YFINANCE_DEADLINE_SECONDS": "100"})
    eventually(lambda: fetch_is_under_way(world), within=30)
    sleeper.stop()
    other = world.poller()
    eventually(lambda: world.count("polls") == 1, within=40)
    world.upstream.release()
    sleeper.cont()
    sleeper.says("answer came under lost leases", within=40)

    assert world.count("polls") == 1
    assert world.count("raw_market_data", "fenced") == 1
    assert world.count("outbox") == 2
    assert world.book.get(job_id).consecutive_failures == 0
    for poller in (sleeper, other):
        poller.terminate()
        assert poller.wait() == 0


@pytest.mark.timeout(120)
def test_a_poller_killed_in_its_lease_is_followed_by_another(world):
    world.upstream.fault("hang", endpoint="quote", times=1)
    world.watch_once("AAPL")
    victim = world.poller()
    eventually(lambda: fetch_is_under_way(world), within=30)
    victim.kill()
    assert world.count("polls") == 0
    world.poller()

    eventually(lambda: world.count("polls", "fresh = 1") == 1, within=30)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("pollers", [1, 2])
def test_500_symbols_cost_six_requests_a_round_whoever_asks_for_them(world, pollers):
    symbols = [f"SYM{number:03}" for number in range(1, 501)]
    for start in range(0, 500, 50):
        world.watch(*symbols[start : start + 50], interval_seconds=10)
    world.watch(*symbols, interval_seconds=10)
    world.watch(*symbols[100:400], interval_seconds=10)
    jobs = 12
    for _ in range(pollers):
        world.poller(env={"MARKETDATA_POLLER_LEASE_SECONDS": "30"})

    eventually(lambda: len(whole_rounds(world, jobs)) >= 2, within=90)
    world.suspend_all()
    asked = [answer for answer in world.upstream.answers() if answer.endpoint == "quote"]
    for tick, recorded in whole_rounds(world, jobs):
        of_round = [answer for answer in asked if tick <= answer.time <= recorded]

        assert len(of_round) == 6
        assert sorted(symbol for answer in of_round for symbol in answer.symbols) == symbols


def whole_rounds(world, jobs):
    """Return the Unix times of tick and last record of the rounds in which all jobs were polled.

    Without the first, in which each job has a tick of its own.
    """
    with world.database.engine.begin() as connection:
        return [
            (float(tick), float(recorded)) for tick, recorded in connection.execute(_ROUNDS, {"jobs": jobs})
        ]


_ROUNDS = sa.text(
    """
    select extract(epoch from tick_at), extract(epoch from max(recorded_at)) from polls
    group by tick_at having count(*) = :jobs and max(recorded_at) - tick_at < interval '10 s'
    """
)


@pytest.mark.timeout(120)
def test_one_provider_that_hangs_holds_up_no_other_and_one_bad_symbol_no_good_one(world):
    world.upstream.fault("hang", endpoint="quote")
    world.upstream.fault("hang", endpoint="chart")
    world.watch("AAPL", provider="yfinance")
    job_id = world.watch("AAPL", "NOSUCH1", "NODATA1", provider="synthetic")
    world.poller()
    eventually(lambda: world.count("outbox", "provider = 'synthetic'") >= 3, within=30)
    view = world.book.get(job_id)

    assert {symbol: told["reason"] for symbol, told in view.failing.items()} == {
        "NOSUCH1": "unknown_symbol",
        "NODATA1": "no_data",
    }
    assert view.consecutive_failures == 0


@pytest.mark.timeout(120)
def test_a_rate_limit_silences_every_poller_and_ticks_are_skipped_with_the_reason(world):
    world.upstream.fault("rate_limited", endpoint="quote", retry_after=120)
    world.upstream.fault("rate_limited", endpoint="chart", retry_after=120)
    world.watch("AAPL", "MSFT")
    for _ in range(2):
        world.poller()
    eventually(lambda: world.count("polls", "skipped = 2") >= 3, within=60)
    asked = sum(world.upstream.counts().get(endpoint, 0) for endpoint in ("quote", "chart"))

    holds(lambda: sum(world.upstream.counts().get(e, 0) for e in ("quote", "chart")) == asked, during=2.0)
    assert world.count("polls", "reasons ? 'breaker_open'") >= 3
    assert world.count("raw_market_data", "status = 429") >= 1


def test_a_new_job_starts_within_a_second_and_a_suspended_one_never(world):
    world.poller().says("started")
    world.watch_once("AAPL", provider="synthetic")  # the partitions are made meanwhile
    eventually(lambda: world.count("polls") == 1, within=20)
    asleep = world.watch_once("MSFT", provider="synthetic")
    eventually(lambda: world.count("polls") == 2, within=20)
    world.book.set_suspended(asleep, suspended=True)
    late = []
    for polls in range(3, 8):  # one after the other, so that a pause of the machine makes one late, not all
        job_id = world.watch_once("GOOG", provider="synthetic")
        eventually(lambda: world.count("polls") == polls, within=20)  # noqa: B023 - called at once
        late.append(world.scalar("select recorded_at - tick_at from polls where job_id = :id", id=job_id))

    assert median(late).total_seconds() < 1.0 * slowness()
    holds(lambda: world.count("polls") == 7, during=1.0)


def test_sigterm_ends_a_poller_soon_and_gives_its_leases_back(world):
    world.upstream.fault("hang", endpoint="quote")
    world.watch_once("AAPL")
    poller = world.poller(env={"MARKETDATA_POLLER_LEASE_SECONDS": "300"})
    eventually(lambda: fetch_is_under_way(world), within=30)
    poller.terminate()

    assert poller.wait(20) == 0
    assert world.count("polling_schedule", "lease_token is null and due_at <= now()") == 1
    assert world.count("polls") == 0


def test_raw_answers_are_kept_to_the_byte(world):
    world.watch_once("AAPL", "^GSPC", "VOD.L")
    world.poller()
    eventually(lambda: world.count("polls") == 1, within=30)
    digest = world.scalar("select encode(sha256(body), 'hex') from raw_market_data where status = 200")

    assert digest in {answer.sha256 for answer in world.upstream.answers()}
    assert len(digest) == hashlib.sha256().digest_size * 2
