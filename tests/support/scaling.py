"""A backlog on a real cluster, and what autoscalers make of it, watched second by second."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from support.releases import CommandFailed, Release

SERIES = 500
_EXPORTED_EVERY_SECONDS = 5.0  # MARKETDATA_LAG_EVERY_SECONDS, as the chart has it
# Run in a poller's pod, which has the library, the rights to write the topic and the database's address.
_LOAD = """\
import sys, uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from confluent_kafka import Producer
from marketdata.domain.price import PricePoint
from marketdata.messages import price_event
from marketdata.messages.topics import event_key
from marketdata.settings import KafkaSettings
first, count, series = map(int, sys.argv[1:4])
kafka = KafkaSettings()
failed = []
# What is sent again, where a confirmation is lost or late, is in the log once: events are counted one by one.
producer = Producer({**kafka.client_config(), "enable.idempotence": True, "linger.ms": 20,
                     "queue.buffering.max.messages": 200_000})
start = datetime(2026, 1, 1, tzinfo=UTC)
for i in range(first, first + count):
    at = start + timedelta(seconds=i // series)
    symbol = f"L{i % series}"
    point = PricePoint("synthetic", symbol, at, Decimal(i % 997 + 1), "USD", at, uuid.UUID(int=i + 1))
    while len(producer) > 100_000:
        producer.poll(0.1)
    producer.produce(kafka.topic, price_event.encode(point), event_key("synthetic", symbol),
                     on_delivery=lambda error, _: failed.append(error) if error else None)
    producer.poll(0)
assert producer.flush(120) == 0 and not failed, failed[:1]
"""
_COUNT = """\
import json
import sqlalchemy as sa
from marketdata.settings import PostgresSettings
from marketdata.storage.engine import create_engine
row = create_engine(PostgresSettings(), application="tests").connect().execute(sa.text('''
  select (select count(*) from price_points where symbol like 'L%') as points,
    (select count(*) from symbol_averages where symbol like 'L%') as averages,
    (select coalesce(sum(price), 0)::bigint from price_points where symbol like 'L%') as prices,
    (select sum(consumed)::bigint from consumer_offsets) as consumed,
    (select sum(stored)::bigint from consumer_offsets) as stored,
    (select sum(redelivered)::bigint from consumer_offsets) as redelivered,
    (select count(*) from consumer_gaps) as gaps''')).one()
print(json.dumps(dict(row._mapping)))
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the first, pods wished and ready, and the lag, None where unknown."""

    seconds: float
    wished: int
    ready: int
    lag: int | None


@dataclass(frozen=True, slots=True)
class Scaler:
    """The HPA of one component."""

    release: Release
    component: str

    def is_active(self) -> bool:
        """Tell whether it knows its metric and acts on it."""
        return any(
            each["type"] == "ScalingActive" and each["status"] == "True"
            for each in self._get("horizontalpodautoscaler").get("status", {}).get("conditions", [])
        )

    def pods(self) -> tuple[int, int]:
        """Return how many pods are wished and how many are ready."""
        deployment = self._get("deployment")
        return deployment["spec"]["replicas"], deployment["status"].get("readyReplicas", 0)

    def _get(self, kind: str) -> dict[str, Any]:
        return self.release.get(kind, f"{self.release.name}-market-data-{self.component}")


@dataclass
class Backlog:
    """Events loaded behind the consumers' back, and the record of their being consumed."""

    release: Release
    samples: list[Sample] = field(default_factory=list)
    loaded: int = 0  # by now, those of earlier tests on the same release included
    _began: float = field(default_factory=time.monotonic)

    def load(self, count: int) -> None:
        """Put `count` further events into Kafka, each of another point."""
        self._python(_LOAD, str(self.loaded), str(count), str(SERIES))
        self.loaded += count

    def tables(self) -> dict[str, int]:
        """Return what the tables hold of loaded events, and the consumers' own counts."""
        return {name: int(value or 0) for name, value in json.loads(self._python(_COUNT)).items()}

    def scale(self, pods: int) -> None:
        self.release.run(
            "scale", "deployment", f"{self.release.name}-market-data-consumer", f"--replicas={pods}"
        )

    def has_no_reader(self) -> bool:
        """Tell whether no consumer is left: what ends consumes and commits on, and is counted no more."""
        return not self.release.get("pods", "--selector", "app.kubernetes.io/component=consumer")["items"]

    @property
    def scaler(self) -> Scaler:
        return Scaler(self.release, "consumer")

    def lag(self) -> int | None:
        """Return the lag as the exporter tells it, None where it does not."""
        pods = self.release.get("pods", "--selector", "app.kubernetes.io/component=lag")["items"]
        for pod in pods:
            name, namespace = pod["metadata"]["name"], self.release.namespace
            path = f"/api/v1/namespaces/{namespace}/pods/{name}:9090/proxy/metrics"
            try:
                text = self.release.run("get", "--raw", path, within=15)
            except CommandFailed:
                continue
            if found := re.search(r"^marketdata_lag_sum_messages\{.*\} (\S+)$", text, re.MULTILINE):
                return int(float(found.group(1)))
        return None

    def look(self) -> Sample:
        """Take a sample and keep it."""
        wished, ready = self.scaler.pods()
        sample = Sample(round(time.monotonic() - self._began, 1), wished, ready, self.lag())
        self.samples.append(sample)
        return sample

    def until(self, check: Callable[[Sample], bool]) -> Callable[[], bool]:
        """Return what takes a sample and tells whether `check` holds, to be waited for."""
        return lambda: check(self.look())

    def kept_until(self, check: Callable[[Sample], bool], *, least: int) -> Callable[[], bool]:
        """Return the same, but load `least` more where fewer wait: no machine is too fast for `check`."""
        loaded_at = self.look().seconds

        def checked() -> bool:
            nonlocal loaded_at
            now = self.look()
            if check(now):
                return True
            # What the exporter tells may be of before the last load.
            is_told = now.seconds - loaded_at > _EXPORTED_EVERY_SECONDS
            if is_told and now.lag is not None and now.lag < least:
                self.load(least)
                loaded_at = self.look().seconds
            return False

        return checked

    def is_drained(self) -> bool:
        """Take a sample and tell whether all that was loaded is stored; the lag alone may be of before."""
        return self.look().lag == 0 and self.tables()["points"] == self.loaded

    def keep(self, file: Path) -> None:
        """Write the samples, for the picture in the docs."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(each) for each in self.samples]))

    def _python(self, code: str, *arguments: str) -> str:
        target = f"deploy/{self.release.name}-market-data-poller"
        return self.release.run("exec", target, "--", "python", "-c", code, *arguments, within=600)
