"""Kafka away, a broker that forgets, a Postgres that comes and goes, and kills at random."""

import random
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from marketdata_tools.embedded.broker import EmbeddedBroker
from support.faults import read_only
from support.ports import free_port
from support.proxy import Proxy
from support.waiting import eventually


def transactions(world):
    """Return which transactions of pollers are open: when each began, and of which backend."""
    with world.database.engine.begin() as connection:
        return {(row.pid, row.xact_start) for row in connection.execute(_TRANSACTIONS)}


_TRANSACTIONS = sa.text(
    """
    select pid, xact_start from pg_stat_activity
    where xact_start is not null and datname = current_database() and application_name = 'marketdata-poller'
    """
)


@pytest.mark.timeout(120)
def test_while_kafka_is_away_polling_goes_on_and_the_outbox_grows_without_long_transactions(world):
    nobody = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    world.watch("AAPL", "MSFT", provider="synthetic")
    poller = world.poller(env=nobody)
    eventually(lambda: world.count("outbox") >= 8, within=40)

    for _ in range(3):
        begun = transactions(world)
        world.more_polls(2)
        assert not begun & transactions(world), "one that is open outlasts two polls"
    assert world.count("outbox", "published_at is not null") == 0
    poller.terminate()
    assert poller.wait() == 0
    world.poller()
    eventually(lambda: world.count("outbox", "published_at is null") < 4, within=30)


@pytest.mark.timeout(180)
def test_what_a_broker_forgot_is_published_again_to_the_next_and_nothing_else_is(world, tmp_path):
    broker = EmbeddedBroker(tmp_path / "first")
    broker.start()
    world.kafka = replace(world.kafka, bootstrap=broker.bootstrap, is_real=False)
    world.kafka.create_topic(world.kafka.topic)
    world.watch("AAPL", "MSFT", "GOOG")
    poller = world.poller()
    eventually(lambda: world.count("outbox", "published_at is not null") >= 6, within=40)
    broker.kill()
    poller.terminate()
    assert poller.wait() == 0
    forgotten = world.count("outbox", "published_at is not null")
    another = EmbeddedBroker(tmp_path / "second")
    another.start()
    try:
        world.kafka = replace(world.kafka, bootstrap=another.bootstrap)
        world.kafka.create_topic(world.kafka.topic)
        world.consumer()
        world.poller()
        world.more_polls(3)
        world.suspend_all()
        world.settle(within=60)

        assert world.scalar("select sum(republished) from event_ledger") == forgotten
        world.prove()
    finally:
        another.kill()


@pytest.mark.timeout(120)
def test_while_postgres_is_away_the_poller_waits_and_then_goes_on(world):
    address = urlsplit(world.database.url)
    with Proxy(address.port) as proxy:
        url = world.database.url.replace(f":{address.port}/", f":{proxy.port}/")
        world.watch("AAPL", "MSFT")
        poller = world.poller(env={"DATABASE_URL": url})
        world.more_polls(2)
        proxy.cut()
        poller.says("a dependency is away|waits for the store", within=30)
        before = world.count("polls")
        proxy.pass_all()
        eventually(lambda: world.count("polls") > before, within=40)

        assert poller.is_running
        poller.terminate()
        assert poller.wait() == 0


@pytest.mark.timeout(120)
def test_an_answer_in_hand_outlasts_a_postgres_that_turned_read_only(world):
    world.upstream.fault("hold", endpoint="quote", times=1)
    world.watch_once("AAPL", "MSFT")
    poller = world.poller(
        env={"MARKETDATA_POLLER_LEASE_SECONDS": "60", "MARKETDATA_YFINANCE_DEADLINE_SECONDS": "100"}
    )
    eventually(lambda: world.upstream.counts().get("quote", 0) == 1, within=30)
    with read_only(world.database):
        world.upstream.release()
        poller.says("answer waits for the store", within=40)
        assert world.count("raw_market_data") == 0
    eventually(lambda: world.count("polls", "fresh = 2") == 1, within=30)

    assert world.count("raw_market_data", "not fenced") == 1
    assert world.count("outbox") == 2
    assert world.upstream.counts()["quote"] == 1
    poller.terminate()
    assert poller.wait() == 0


def campaign(world, *, kills, seed):
    chance = random.Random(seed)
    world.consumer()
    world.watch("AAPL", "MSFT", "NOSUCH")
    world.watch("MSFT", "^GSPC", "GOOG", "AMZN")
    steady = world.poller()
    for _ in range(kills):
        victim = world.poller(crash_after_steps=chance.randint(1, 60))
        victim.crashed(90)
    steady.kill()
    world.poller()
    world.more_polls(4)
    world.suspend_all()
    world.settle(within=90)
    world.prove()


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_kills_at_random_points_lose_and_double_nothing(world):
    campaign(world, kills=3, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_at_random_points_lose_and_double_nothing(world, seed):
    campaign(world, kills=30, seed=seed)
