"""Makes the lag exporter's objects: no database, no cache, no member of the group."""

import threading
from dataclasses import dataclass

from marketdata.clock import SystemClock
from marketdata.settings import KafkaSettings, ProcessSettings
from marketdata.streaming.group_log import KafkaGroupLog
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer.lag_exporter import LagExporter
from marketdata_consumer.lag_measures import LagMeasures
from marketdata_consumer.settings import LagSettings


@dataclass(frozen=True, slots=True)
class Exporter:
    """The process: its loop and its health."""

    loop: LagExporter
    health: HealthServer


def build(
    *, process: ProcessSettings, kafka: KafkaSettings, lag: LagSettings, stop: threading.Event
) -> Exporter:
    """Return the exporter, not started; raises Misconfigured where the health port is taken."""
    clock = SystemClock()
    # Its gauges are rendered from one lag at a time, not set one by one.
    metrics = Metrics(("marketdata_lag_round",))
    heartbeats = Heartbeats(clock, limit_seconds=lag.liveness_seconds)
    measures = LagMeasures(metrics, group=kafka.group, topic=kafka.topic)
    loop = LagExporter(
        log=KafkaGroupLog(kafka),
        measures=measures,
        clock=clock,
        heartbeats=heartbeats,
        every_seconds=lag.every_seconds,
        stop=stop,
    )
    health = HealthServer(
        host=process.metrics_host,
        port=process.metrics_port,
        heartbeats=heartbeats,
        registry=metrics.registry,
        # Ready with the brokers away too: that the lag is unknown must be read somewhere.
        ready=lambda: None,
    )
    return Exporter(loop, health)
