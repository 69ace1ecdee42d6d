"""The full consumer on a real broker, beside the seed's loop and beside a bare COPY.

All read the same events: 500 symbols in turn, one average for every point. Ours is the process as
it ships, timed from its first commit to its last, so that starting and joining the group is left
out, for the seed's loop too.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from marketdata.storage import copying
from marketdata_tools.bench.grounds import Grounds, connect, open_grounds, some_events

Row = dict[str, Any]

EVENTS = 150_000
ROUNDS = 5
CONSUMED = "select coalesce(sum(consumed), 0) from consumer_offsets"
_SEED_SECONDS = 4.0
_PATIENCE_SECONDS = 120.0
_tick = threading.Event()


@dataclass(frozen=True, slots=True)
class Result:
    """Events per second, and CPU seconds per million events of client, Postgres and cache together."""

    rate: float
    cpu: float


def measure(*, events: int = EVENTS, rounds: int = ROUNDS) -> list[Row]:
    """Return the rows of the report; needs a real broker, starts the other servers itself."""
    points = some_events(events)
    text = copying.points_text(points)
    ours: list[Result] = []
    seed: list[Result] = []
    bare: list[Result] = []
    with open_grounds(points) as grounds:
        for _ in range(rounds):
            ours.append(peak(grounds, events))
            seed.append(_seed_loop(grounds))
            bare.append(_bare_copy(grounds, text, events))
    return [
        _row("full consumer / the seed's loop", ours, seed, floor=30.0),
        _row("full consumer / bare COPY of the points", ours, bare, floor=0.15),
    ]


def _row(name: str, ours: Sequence[Result], theirs: Sequence[Result], *, floor: float) -> Row:
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return {
        "name": name,
        "ours": round(statistics.median(result.rate for result in ours)),
        "theirs": round(statistics.median(result.rate for result in theirs)),
        "unit": "events/s",
        "ratio": round(statistics.median(ratios), 2),
        "floor": floor,
        "ours_cpu_seconds_per_million": round(statistics.median(result.cpu for result in ours), 1),
        "theirs_cpu_seconds_per_million": round(statistics.median(result.cpu for result in theirs), 1),
    }


def peak(grounds: Grounds, events: int) -> Result:
    """Return what one consumer does with all the topic's events, on a fresh database."""
    with grounds.database() as url:
        environment = consumer_environment(grounds, url)
        process = subprocess.Popen(
            [sys.executable, "-m", "marketdata_consumer"], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            return _watch(grounds, process, url, CONSUMED, events)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _seed_loop(grounds: Grounds) -> Result:
    with grounds.database() as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "marketdata_tools.bench.seed_loop", url, grounds.redis_url,
             grounds.bootstrap, grounds.topic, f"seed-{uuid.uuid4().hex[:8]}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            return _watch(
                grounds, process, url, "select count(*) from symbol_averages", None, seconds=_SEED_SECONDS
            )
        finally:
            process.kill()
            process.communicate(timeout=30)


def _bare_copy(grounds: Grounds, text: str, events: int) -> Result:
    with grounds.database() as url:
        connection = connect(url)
        cpu = grounds.server_cpu_seconds() + time.process_time()
        began = time.perf_counter()
        with connection.cursor() as cursor:
            copying.copy_into(cursor, copying.POINTS, text)
        seconds = time.perf_counter() - began
        used = grounds.server_cpu_seconds() + time.process_time() - cpu
        connection.close()
        return Result(events / seconds, used / events * 1e6)


def _watch(
    grounds: Grounds,
    process: "subprocess.Popen[str]",
    url: str,
    count: str,
    until: int | None,
    *,
    seconds: float = _PATIENCE_SECONDS,
) -> Result:
    """Follow `count` from its first movement to `until`, or for `seconds` where it is None."""
    watched = psutil.Process(process.pid)
    looker = connect(url)

    def look() -> int:
        with looker.cursor() as cursor:
            cursor.execute(count)
            row = cursor.fetchone()
            assert row is not None, "an aggregate has a row"
            return int(row[0])

    def cpu() -> float:
        times = watched.cpu_times()
        return float(times.user + times.system) + grounds.server_cpu_seconds()

    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while (first := look()) == 0:
        if process.poll() is not None or time.perf_counter() > deadline:
            process.kill()
            raise RuntimeError(f"nothing was consumed:\n{process.communicate()[1][-2000:]}")
        _tick.wait(0.01)
    began, used = time.perf_counter(), cpu()
    now = first
    while now < until if until is not None else time.perf_counter() - began < seconds:
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError(f"only {now} events were consumed")
        _tick.wait(0.02)
        now = look()
    elapsed, used = time.perf_counter() - began, cpu() - used
    looker.close()
    return Result((now - first) / elapsed, used / (now - first) * 1e6)


def await_consumed(url: str, events: int) -> None:
    """Wait until positions have passed `events` messages."""
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    looker = connect(url)
    with looker.cursor() as cursor:
        while True:
            cursor.execute(CONSUMED)
            row = cursor.fetchone()
            if row is not None and row[0] >= events:
                break
            if time.perf_counter() > deadline:
                raise RuntimeError("the consumer did not catch up")
            _tick.wait(0.05)
    looker.close()


def consumer_environment(grounds: Grounds, database_url: str) -> dict[str, str]:
    """Return the environment of a consumer in a group of its own."""
    return {
        **os.environ,  # noqa: TID251 - handed on, not read
        "DATABASE_URL": database_url,
        "REDIS_URL": grounds.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": grounds.bootstrap,
        "KAFKA_TOPIC": grounds.topic,
        "KAFKA_GROUP": f"bench-{uuid.uuid4().hex[:8]}",
        "MARKETDATA_METRICS_HOST": "127.0.0.1",
        "MARKETDATA_METRICS_PORT": "0",
        "MARKETDATA_LOG_LEVEL": "warning",
    }
