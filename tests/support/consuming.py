"""The consumer as a real process between a broker and its stores."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa
from confluent_kafka import Producer

from marketdata.domain.price import PricePoint
from marketdata.messages import price_event
from marketdata.messages.topics import HEADER_EVENT_ID, event_key
from support.builders import a_price, at
from support.processes import Process, Processes
from support.servers import Database, Kafka
from support.tables import check_tables, counts
from support.waiting import eventually

_LOSING_RESUMES = Path(__file__).with_name("losing_resumes.py")
_BY_KEY = -1  # librdkafka's RD_KAFKA_PARTITION_UA

Raw = tuple[bytes | None, Sequence[tuple[str, bytes]]]  # value and headers


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A topic, a database and a cache of one test, and consumers between them."""

    kafka: Kafka
    database: Database
    redis_url: str
    processes: Processes
    extra: Mapping[str, str]

    def set(self, **extra: str) -> "Pipeline":
        """Return the same with more environment variables."""
        return replace(self, extra={**self.extra, **extra})

    def anew(self) -> "Pipeline":
        """Return the same with a group of its own: nobody waits there for a dead member's session.

        Positions are not the group's, so a consumer of another group goes on where the last one was.
        """
        return self.set(KAFKA_GROUP=f"consumer-{uuid.uuid4().hex[:10]}")

    def start(self, **orders: object) -> Process:
        """Start a consumer; `orders` as for Processes.start."""
        return self.processes.start("marketdata_consumer", env=self.env(), **orders)  # type: ignore[arg-type]

    def start_losing_resumes(self, *partitions: int) -> Process:
        """Start a consumer whose client loses the first resume of these."""
        command = [sys.executable, "-P", str(_LOSING_RESUMES), *map(str, partitions)]
        return self.processes.run("marketdata_consumer", *command, env=self.env())

    def env(self) -> dict[str, str]:
        """Return a consumer's environment."""
        return {
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis_url,
            **self.kafka.env(),
            "MARKETDATA_METRICS_HOST": "127.0.0.1",
            "MARKETDATA_METRICS_PORT": "0",
            "MARKETDATA_LOG_FORMAT": "json",
            "MARKETDATA_CONSUMER_ACCOUNT_CHECK_SECONDS": "0.5",
            **self.extra,
        }

    def publish(self, points: Sequence[PricePoint], *, partition: int | None = None) -> None:
        """Send events by their keys, or all to one partition; block until the broker has them."""
        self.send(
            [(price_event.encode(p), [(HEADER_EVENT_ID, str(uuid.uuid4()).encode())]) for p in points],
            keys=[event_key(p.provider, p.symbol) for p in points],
            partition=partition,
        )

    def send(
        self, raws: Sequence[Raw], *, keys: Sequence[bytes | None] | None = None, partition: int | None = None
    ) -> None:
        """Send any bytes."""
        failures: list[object] = []
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "message.max.bytes": 4_000_000,
                "log_level": 0,
                "topic.metadata.refresh.interval.ms": 1000,
            }
        )
        for i, (value, headers) in enumerate(raws):
            producer.produce(
                self.kafka.topic,
                value=value,
                key=None if keys is None else keys[i],
                headers=list(headers),
                on_delivery=lambda error, _: failures.append(error) if error else None,
                partition=_BY_KEY if partition is None else partition,
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not failures, failures[0]

    def await_consumed(self, count: int, *, within: float = 40.0) -> None:
        """Wait until positions have passed `count` messages."""
        eventually(lambda: counts(self.database.engine)["consumed"] >= count, within=within)

    def await_tables(self, events: Sequence[PricePoint], *, within: float = 40.0) -> None:
        """Wait until the tables are the naive ones of `events`."""
        wished = len({(p.provider, p.symbol, p.observed_at) for p in events})
        eventually(lambda: self.scalar("select count(*) from price_points") >= wished, within=within)

        def check() -> bool:
            check_tables(self.database.engine, events)
            return True

        eventually(check, within=within, every=0.2)

    def scalar(self, sql: str) -> int:
        with self.database.engine.connect() as connection:
            return int(connection.scalar(sa.text(sql)) or 0)


def prices(count: int, *, symbols: int = 7, start: int = 0) -> list[PricePoint]:
    """Return `count` events of some series, in order, each series' prices all different."""
    return [
        a_price(symbol=f"S{i % symbols}", price=str(i % 97), observed_at=at(i // symbols))
        for i in range(start, start + count)
    ]
