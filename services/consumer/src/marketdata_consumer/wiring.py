"""Makes the consumer's objects and hands them to each other."""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from marketdata.cache.latest import RedisLatestPrices
from marketdata.clock import Clock, SystemClock
from marketdata.settings import KafkaSettings, PostgresSettings, ProcessSettings, RedisSettings
from marketdata.steps import StepObserver
from marketdata.storage.engine import create_engine
from marketdata.storage.positions import PostgresPositions
from marketdata.storage.price_writer import PostgresPriceStore
from marketdata.streaming.accounts import LogDirectory
from marketdata.streaming.consumer import KafkaEventStream
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata.telemetry.traces import Traces
from marketdata_consumer.cachefeed import CacheFeed
from marketdata_consumer.logwatch import LogWatch
from marketdata_consumer.loop import ConsumerLoop
from marketdata_consumer.ports import EventStream
from marketdata_consumer.positioning import Positioner
from marketdata_consumer.settings import ConsumerSettings
from marketdata_consumer.watchdog import Watchdog
from marketdata_consumer.writer import BatchWriter

NAME = "marketdata-consumer"


@dataclass(frozen=True, slots=True)
class Consumer:
    """The process: its loop, its health, and what must be closed."""

    loop: ConsumerLoop
    engine: sa.Engine
    health: HealthServer
    clock: Clock
    cache: RedisLatestPrices
    traces: Traces


def build(
    *,
    process: ProcessSettings,
    postgres: PostgresSettings,
    redis: RedisSettings,
    kafka: KafkaSettings,
    consumer: ConsumerSettings,
    traces: Traces,
    stop: threading.Event,
    ready: Callable[[], str | None],
    on_step: StepObserver,
) -> Consumer:
    """Return the consumer, not started; raises Misconfigured where the health port is taken."""
    clock = SystemClock()
    metrics = Metrics(("marketdata_consumer_", "marketdata_price_"))
    heartbeats = Heartbeats(clock, limit_seconds=consumer.liveness_seconds)
    engine = create_engine(postgres, application=NAME)
    store = PostgresPriceStore(engine, clock=clock)
    cache = RedisLatestPrices(redis)
    directory = LogDirectory(kafka.client_config)
    feed = CacheFeed(
        cache=cache, store=store, ttl_seconds=redis.ttl_seconds, clock=clock, metrics=metrics, on_step=on_step
    )
    client_id = f"{NAME}-{socket.gethostname()}-{os.getpid()}"

    def make_stream(on_revoked: Callable[[frozenset[int]], None]) -> EventStream:
        # The client's stubs allow None for what every consumed message has.
        return KafkaEventStream(  # type: ignore[return-value]
            kafka, client_id=client_id, on_revoked=on_revoked
        )

    loop = ConsumerLoop(
        make_stream=make_stream,
        positioner=Positioner(
            positions=PostgresPositions(engine),
            directory=directory,
            topic=kafka.topic,
            clock=clock,
            metrics=metrics,
            on_step=on_step,
        ),
        writer=BatchWriter(store=store, feed=feed.write, traces=traces, on_step=on_step),
        feed=feed,
        watch=LogWatch(
            directory=directory, topic=kafka.topic, clock=clock, every_seconds=consumer.account_check_seconds
        ),
        watchdog=Watchdog(consumer.stuck_seconds),
        settings=consumer,
        clock=clock,
        heartbeats=heartbeats,
        metrics=metrics,
        traces=traces,
        stop=stop,
        on_step=on_step,
    )
    health = HealthServer(
        host=process.metrics_host,
        port=process.metrics_port,
        heartbeats=heartbeats,
        registry=metrics.registry,
        ready=ready,
    )
    return Consumer(loop, engine, health, clock, cache, traces)
