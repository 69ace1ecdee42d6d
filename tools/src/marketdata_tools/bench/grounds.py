"""What the consumer's measurements stand on: a real broker, a durable Postgres, a cache, and events."""

import os
import socket
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import psycopg2
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class

from marketdata.domain.price import PricePoint
from marketdata.identifiers import uuid7
from marketdata.messages import price_event
from marketdata.messages.topics import PARTITIONS, event_key
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.redis import EmbeddedRedis

SYMBOLS = 500
PROVIDER = "synthetic"
_BOOTSTRAP = "127.0.0.1:19092"
_TEMPLATE = "migrated"
_START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Servers that run, all on this machine."""

    bootstrap: str
    postgres: EmbeddedPostgres
    redis_url: str
    redis_pid: int
    topic: str

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a fresh migrated database, dropped at the end."""
        name = f"bench_{uuid.uuid4().hex[:8]}"
        self._administer(f"create database {name} template {_TEMPLATE}", "checkpoint")
        try:
            yield self.postgres.url(name)
        finally:
            self._administer(f"drop database {name} with (force)")

    def server_cpu_seconds(self) -> float:
        """Return the CPU time Postgres and the cache have used, ended backends included."""
        return _cpu_of_family(self.postgres.pid) + _cpu_of_family(self.redis_pid)

    def _administer(self, *statements: str) -> None:
        admin = connect(self.postgres.url())
        admin.autocommit = True
        with admin.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        admin.close()


@contextmanager
def open_grounds(events: Sequence[PricePoint]) -> Iterator[Grounds]:
    """Start the servers and publish `events` to a topic of their own; end and delete all."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", _BOOTSTRAP)  # noqa: TID251 - the tool's one setting
    _require(bootstrap)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="marketdata-bench-")))
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        redis = EmbeddedRedis(folder / "redis")
        redis.start()
        stack.callback(redis.stop)
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        grounds = Grounds(bootstrap, postgres, redis.url(), redis.pid, topic)
        grounds._administer(f"create database {_TEMPLATE}")  # noqa: SLF001 - its own module
        engine = create_engine(
            PostgresSettings.model_validate({"url": postgres.url(_TEMPLATE)}), application="bench"
        )
        schema.migrate(engine)
        engine.dispose()
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
        stack.callback(lambda: admin.delete_topics([topic])[topic].result(30))
        publish(bootstrap, topic, events)
        yield grounds


def some_events(count: int) -> list[PricePoint]:
    """Return `count` events, the 500 symbols in turn, each answer shared by 90 of them."""
    points: list[PricePoint] = []
    answers = [uuid7(_START + timedelta(seconds=i * 90 // SYMBOLS)) for i in range(count // 90 + 1)]
    for i in range(count):
        at = _START + timedelta(seconds=i // SYMBOLS)
        price = Decimal(10_000 + (i * 7919) % 5_000) / 100
        points.append(
            PricePoint(
                PROVIDER, f"SYM{i % SYMBOLS}", at, price, "USD", at + timedelta(milliseconds=250),
                answers[i // 90], "REGULAR", 0, 1,
            )
        )  # fmt: skip
    return points


def publish(bootstrap: str, topic: str, events: Sequence[PricePoint]) -> None:
    """Publish all and wait until the broker has them."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
    )
    for i, event in enumerate(events):
        producer.produce(topic, key=event_key(event.provider, event.symbol), value=price_event.encode(event))
        if i % 10_000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("the broker did not take the events in time")


def connect(url: str) -> Connection:
    """Return an autocommitting connection, for looking on."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def _require(bootstrap: str) -> None:
    host, port = bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        raise SystemExit(
            f"no Kafka broker answers at {bootstrap}; start one, or set KAFKA_BOOTSTRAP_SERVERS"
        ) from None


def _cpu_of_family(pid: int) -> float:
    """CPU seconds of a process, its living children and those it has waited for."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            each = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += each.user + each.system
    return float(total)
