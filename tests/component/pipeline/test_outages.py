"""Dependencies away, under load, and back: nobody ends, nothing is lost, everything drains by itself.

Short outages run with the other tests, a minute of each with `make test-long`. Kafka's are on a real
broker: the embedded one cannot be away and come back as the same log.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import proof
from support.pipeline import Pipeline, pipeline
from support.processes import Processes
from support.proxy import Proxy
from support.servers import Database, Kafka, RealBroker, kafka_names
from support.waiting import eventually, holds
from support.yahoo import Yahoo

SYMBOLS = ["AAPL", "MSFT", "^GSPC", *(f"SYM{n:03}" for n in range(1, 177))]
LATEST = "/prices/latest?symbol=AAPL&provider=yfinance"
GROWTH = 64 * 1024 * 1024  # bytes a process may grow by while it waits

durations = pytest.mark.parametrize(
    "seconds", [pytest.param(6, id="short"), pytest.param(60, id="a-minute", marks=pytest.mark.long)]
)
# The silent one first: then all loops have a connection, and most a call, that it can catch.
WAYS = ("half_open", "cut")  # in one test: starting the pipeline costs more than an outage


@pytest.fixture
def service(
    database: Database, redis_url: str, kafka: Kafka, yahoo: Yahoo, processes: Processes, tmp_path: Path
) -> Iterator[Pipeline]:
    """The pipeline, not started: how long its API waits for the cache is the test's to say."""
    with pipeline(
        processes=processes,
        database=database,
        redis_url=redis_url,
        kafka=kafka,
        yahoo=yahoo,
        cache_dir=str(tmp_path / "yfinance"),
    ) as made:
        yield made


def load(service: Pipeline, *, cache_seconds: int = 1) -> None:
    """Put it under load: 179 symbols each second, prices flowing.

    Where an answer comes from is said below: it is not to be that of a cache that is only slow.
    """
    service.tell(MARKETDATA_API_CACHE_TIMEOUT_SECONDS=str(cache_seconds))
    service.start("api", "poller", "consumer")
    service.wait_until_up()
    service.watch(SYMBOLS)
    eventually(lambda: source(service) == "HIT", within=30)


def source(service: Pipeline) -> str:
    """Return where the latest price of AAPL came from: HIT is the cache."""
    return service.get(LATEST).headers.get("x-cache", "")


def everyone_lives(service: Pipeline, before: dict[str, int]) -> bool:
    for name, process in service.running.items():
        assert process.is_running, name
        assert service.is_live(name), name
        grown = service.memory()[name] - before[name]
        assert grown < GROWTH, f"{name} grew by {grown} bytes"
    return True


def drains(service: Pipeline, database: Database, yahoo: Yahoo) -> None:
    """New prices arrive, and once polling stops everything is settled and proven."""
    last = yahoo.answers()[-1].number
    eventually(lambda: any(a.quotes for a in yahoo.answers(after=last)), within=60)
    newest = service.get(LATEST).body["fetched_at"]
    eventually(lambda: service.get(LATEST).body["fetched_at"] > newest, within=60)
    for job in service.get("/prices/poll").body["data"]:
        service.suspend(job["job_id"])
    eventually(lambda: proof.is_drained(database.engine), within=60)
    proof.ledgers_balance(database.engine)
    counts = proof.nothing_lost_nothing_doubled(database.engine, yahoo.answers)
    assert counts["points"] >= len(SYMBOLS)


@durations
def test_without_redis_prices_come_from_postgres_and_the_cache_fills_again(
    service: Pipeline, database: Database, yahoo: Yahoo, seconds: int
) -> None:
    load(service)
    before = service.memory()

    def served() -> bool:
        reply = service.get(LATEST)
        assert reply.status == 200, reply
        assert reply.headers["x-cache"] != "HIT"
        return everyone_lives(service, before)

    for way in WAYS:
        getattr(service.redis, way)()
        eventually(served, within=10)
        holds(served, during=seconds)
        service.redis.pass_all()
        eventually(lambda: source(service) == "HIT", within=30)
    drains(service, database, yahoo)


@durations
def test_without_postgres_cached_prices_are_served_and_jobs_are_told_to_wait(
    service: Pipeline, database: Database, yahoo: Yahoo, seconds: int
) -> None:
    load(service, cache_seconds=20)  # a cache that is slow for a moment is all there is to answer from
    before = service.memory()

    def served() -> bool:
        assert service.get(LATEST, within=30).status == 200
        reply = service.get("/prices/poll", within=15)
        assert reply.status == 503
        assert reply.body["type"] == "/problems/database-unavailable"
        assert "retry-after" in reply.headers
        assert service.get("/readyz").status == 200
        return everyone_lives(service, before)

    for way in WAYS:
        getattr(service.postgres, way)()
        eventually(served, within=20)
        holds(served, during=seconds)
        service.postgres.pass_all()
        eventually(lambda: service.get("/prices/poll").status == 200, within=30)
    drains(service, database, yahoo)


def test_a_slow_postgres_only_slows(service: Pipeline, database: Database, yahoo: Yahoo) -> None:
    load(service)
    before = service.memory()

    service.postgres.delay(0.05)

    holds(lambda: everyone_lives(service, before), during=5)
    service.postgres.pass_all()
    drains(service, database, yahoo)


Harm = Callable[[RealBroker, Proxy], None]


def _stop(broker: RealBroker, proxy: Proxy) -> None:
    broker.stop()


def _kill(broker: RealBroker, proxy: Proxy) -> None:
    broker.kill()


def _half_open(broker: RealBroker, proxy: Proxy) -> None:
    proxy.half_open()


def _mend(broker: RealBroker, proxy: Proxy) -> None:
    broker.cont()
    proxy.pass_all()
    broker.up()


@pytest.mark.real_kafka
@pytest.mark.timeout(600)  # of waits that may take minutes in all
@durations
@pytest.mark.parametrize("harm", [_stop, _kill, _half_open], ids=["stopped", "killed", "half-open"])
def test_without_kafka_polling_goes_on_and_the_outbox_drains_later(
    database: Database,
    redis_url: str,
    yahoo: Yahoo,
    processes: Processes,
    tmp_path: Path,
    seconds: int,
    harm: Harm,
) -> None:
    with Proxy(0) as proxy:
        broker = RealBroker(advertised=proxy.port)
        proxy.retarget(broker.port)
        broker.up()
        try:
            kafka = kafka_names(broker.bootstrap, is_real=True)
            for name in (kafka.topic, kafka.dead_letter_topic):
                kafka.create_topic(name)
            with pipeline(
                processes=processes,
                database=database,
                redis_url=redis_url,
                kafka=kafka,
                yahoo=yahoo,
                cache_dir=str(tmp_path / "yfinance"),
            ) as service:
                load(service)
                before = service.memory()

                harm(broker, proxy)
                last = yahoo.answers()[-1].number

                def polls_go_on() -> bool:
                    assert service.get(LATEST).status == 200
                    return everyone_lives(service, before)

                holds(polls_go_on, during=seconds)
                assert any(answer.quotes for answer in yahoo.answers(after=last))
                _mend(broker, proxy)
                drains(service, database, yahoo)
        finally:
            _mend(broker, proxy)
            broker.down()
