"""Events say when their symbol is asked for next, whichever job asked this time."""

import sqlalchemy as sa

from marketdata.messages import price_event
from support.builders import a_seldom_interval
from support.waiting import eventually

_PAYLOADS = sa.text("select payload from outbox order by event_id")


def intervals(world):
    with world.database.engine.begin() as connection:
        payloads = connection.scalars(_PAYLOADS).all()
    return [price_event.decode(bytes(payload)).interval_seconds for payload in payloads]


def test_a_price_that_a_slow_job_alone_asked_for_is_stale_when_the_quick_one_s_polls_are_missed(world):
    slow = a_seldom_interval("yfinance")
    quick = a_seldom_interval("yfinance", below=slow // 2)
    quick_job = world.watch("AAPL", interval_seconds=quick)
    slow_job = world.watch("AAPL", interval_seconds=slow)
    world.poller("--roles", "poll")
    eventually(lambda: world.count("polls") == 2, within=30)

    world.book.poll_now(slow_job)
    eventually(lambda: world.count("polls") == 3, within=30)
    assert intervals(world) == [quick, quick]

    world.book.set_suspended(quick_job, suspended=True)
    world.book.poll_now(slow_job)
    eventually(lambda: world.count("polls") == 4, within=30)
    assert intervals(world) == [quick, quick, slow]
