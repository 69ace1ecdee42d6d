"""How old a price is when it can first be read: event published → visible in GET /prices/latest.

Under a load of half of what the consumer can do at most, measured in the same run, on the processes
as they ship. Beside the load, a marked event is published every 50 ms whether or not the one
before has been seen, so a slow moment is asked about as often as a fast one. The API is asked a few
hundred times a second; an answer tells of all marks of its series up to the time it names.
"""

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psutil
from confluent_kafka import Producer

from marketdata.domain.price import PricePoint
from marketdata.identifiers import uuid7
from marketdata.messages import price_event
from marketdata.messages.topics import event_key
from marketdata_tools.bench import consumer, price_load
from marketdata_tools.bench.grounds import PROVIDER, Grounds, open_grounds, some_events
from marketdata_tools.embedded.process import LOOPBACK, free_port, is_listening

Row = dict[str, Any]

LIMIT_MS = 500.0
SECONDS = 20.0
_PEAK_EVENTS = 100_000
_PEAKS = 3
# A few series, so that a few partitions are seen.
_MARKS = ("MARK0", "MARK1", "MARK2", "MARK3")
_MARK_EVERY_SECONDS = 0.05
# With four series in turn, a delay is told up to 16 ms too long, never too short.
_ASK_SECONDS = 0.004
_START_SECONDS = 60.0
_LOST_SECONDS = 30.0
# Less than this of the load asked for is no measurement at that load.
_KEPT_UP = 0.98
_pause = threading.Event()


@dataclass(slots=True)
class Delays:
    """How long each mark took, and what the product spent on the events meanwhile."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds_per_million: float = 0.0


def measure(*, seconds: float = SECONDS) -> list[Row]:
    """Return the row of the report; needs a real broker, starts the rest itself."""
    with open_grounds(some_events(_PEAK_EVENTS)) as grounds:
        peak = statistics.median(consumer.peak(grounds, _PEAK_EVENTS).rate for _ in range(_PEAKS))
        rate = peak / 2
        delays = _under_load(grounds, rate, seconds)
    p99 = statistics.quantiles(delays.seconds, n=100)[98] * 1e3
    return [
        {
            "name": f"published → visible in the API at {rate:,.0f} events/s, p99 (median "
            f"{statistics.median(delays.seconds) * 1e3:.0f} ms)",
            "ours": round(p99, 1),
            "theirs": LIMIT_MS,
            "unit": "ms",
            "ratio": round(LIMIT_MS / p99, 2),
            "floor": 1.0,
            "ours_cpu_seconds_per_million": round(delays.cpu_seconds_per_million, 1),
        }
    ]


def _under_load(grounds: Grounds, rate: float, seconds: float) -> Delays:
    port = free_port()
    with grounds.database() as url:
        environment = consumer.consumer_environment(grounds, url)
        shared = {name: value for name, value in environment.items() if not name.startswith("KAFKA_")}
        api = shared | {"MARKETDATA_API_HOST": LOOPBACK, "MARKETDATA_API_PORT": str(port)}
        with _process("marketdata_consumer", environment) as consuming, _process("marketdata_api", api):
            deadline = time.monotonic() + _START_SECONDS
            while not is_listening(port):
                if time.monotonic() > deadline:
                    raise RuntimeError("the API did not start")
                _pause.wait(0.05)
            consumer.await_consumed(url, _PEAK_EVENTS)
            watched = psutil.Process(consuming.pid)
            delays = Delays()
            with _load(grounds, rate) as load:
                before = _cpu(watched, grounds)
                delays.seconds += _delays(grounds, port, seconds)
                used = _cpu(watched, grounds) - before
                sent, took = map(float, load.communicate("", timeout=_LOST_SECONDS)[0].split())
            if sent < _KEPT_UP * rate * took:
                raise RuntimeError(f"the load was {sent / took:,.0f} events/s, not {rate:,.0f}")
            delays.cpu_seconds_per_million = used / sent * 1e6
            return delays


def _cpu(process: psutil.Process, grounds: Grounds) -> float:
    times = process.cpu_times()
    return float(times.user + times.system) + grounds.server_cpu_seconds()


def _delays(grounds: Grounds, port: int, seconds: float) -> Iterator[float]:
    """Mark for `seconds` and yield the delay of every mark; raises RuntimeError for one never seen."""
    producer = Producer({"bootstrap.servers": grounds.bootstrap, "linger.ms": 0})
    api = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    unseen: dict[str, deque[tuple[datetime, float]]] = {symbol: deque() for symbol in _MARKS}
    to_mark, to_ask = itertools.cycle(_MARKS), itertools.cycle(_MARKS)
    began = mark_at = time.perf_counter()
    while time.perf_counter() < began + seconds or any(unseen.values()):
        now = time.perf_counter()
        if mark_at <= now < began + seconds:
            mark_at += _MARK_EVERY_SECONDS
            symbol = next(to_mark)
            at = datetime.now(UTC)  # noqa: TID251 - the tool's own clock
            unseen[symbol].append((at, now))
            producer.produce(grounds.topic, key=event_key(PROVIDER, symbol), value=_mark(symbol, at))
            producer.poll(0)
        symbol = next(to_ask)
        marks = unseen[symbol]
        if marks and (seen := _seen(api, symbol)) is not None:
            now = time.perf_counter()
            while marks and marks[0][0] <= seen:
                yield now - marks.popleft()[1]
        if marks and now - marks[0][1] > _LOST_SECONDS:
            raise RuntimeError("a price never became visible")
        _pause.wait(_ASK_SECONDS)
    producer.flush(10)


def _seen(api: http.client.HTTPConnection, symbol: str) -> datetime | None:
    api.request("GET", f"/prices/latest?symbol={symbol}&provider={PROVIDER}")
    answer = api.getresponse()
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        return None
    return datetime.fromisoformat(json.loads(body)["timestamp"])


def _mark(symbol: str, at: datetime) -> bytes:
    return price_event.encode(
        PricePoint(PROVIDER, symbol, at, Decimal(1), "USD", at, uuid7(at), "REGULAR", 0, 1)
    )


@contextmanager
def _load(grounds: Grounds, rate: float) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", price_load.__name__, grounds.bootstrap, grounds.topic, str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None, "it was asked for"
            if process.stdout.readline() != "begun\n":
                raise RuntimeError("the load did not start")
            yield process
        finally:
            process.kill()


@contextmanager
def _process(module: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [sys.executable, "-m", module], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
