"""GET /prices/latest on a cache hit, beside a plain FastAPI route and beside constant bytes.

Same server, same settings, same load; the three are driven in turn, round by round, so that what
else the machine does meets all of them. The answer that is measured is the documented one: age
and staleness spliced in, ETag, X-Request-Id, metrics counted.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from marketdata import settings
from marketdata.cache.reader import latest_key
from marketdata.clock import SystemClock
from marketdata.domain.price import PricePoint
from marketdata.identifiers import uuid7
from marketdata.messages.latest import render
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.process import LOOPBACK, Child, free_port, is_listening
from marketdata_tools.embedded.redis import EmbeddedRedis

Row = dict[str, Any]

_SYMBOLS = tuple(f"SYM{number}" for number in range(500))
_PROVIDER = "synthetic"
_ROUNDS = 7
_ROUND_SECONDS = 2.0
_CONNECTIONS = 64
_START_SECONDS = 30.0
_CONTENDERS = ("ours", "plain", "constant")


def measure(*, rounds: int = _ROUNDS, seconds: float = _ROUND_SECONDS) -> list[Row]:
    """Return the rows of the report; starts and ends all servers itself."""
    with (
        tempfile.TemporaryDirectory(prefix="marketdata-bench-", ignore_cleanup_errors=True) as folder,
        _servers(Path(folder)) as servers,
    ):
        for port, _ in servers.values():
            _drive(port, seconds=0.5)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in _CONTENDERS}
        for turn in range(rounds):
            for name in _CONTENDERS[turn % 3 :] + _CONTENDERS[: turn % 3]:
                port, pid = servers[name]
                before = _cpu_seconds(pid)
                result = _drive(port, seconds=seconds)
                result["cpu"] = (_cpu_seconds(pid) - before) / result["answers"] * 1e6
                result["rate"] = result["answers"] / result["seconds"]
                results[name].append(result)
    return [
        _row(
            "GET latest (hit) / plain FastAPI route with one redis.asyncio GET", results, "plain", floor=4.0
        ),
        _row("GET latest (hit) / ASGI constant bytes on the same server", results, "constant", floor=0.4),
    ]


def _row(name: str, results: dict[str, list[dict[str, float]]], rival: str, *, floor: float) -> Row:
    def median(contender: str, what: str) -> float:
        return statistics.median(result[what] for result in results[contender])

    pairs = zip(results["ours"], results[rival], strict=True)
    return {
        "name": name,
        "ours": round(median("ours", "rate")),
        "theirs": round(median(rival, "rate")),
        "unit": "requests/s",
        "ratio": round(statistics.median(mine["rate"] / theirs["rate"] for mine, theirs in pairs), 2),
        "floor": floor,
        "ours_cpu_seconds_per_million": round(median("ours", "cpu"), 1),
        "theirs_cpu_seconds_per_million": round(median(rival, "cpu"), 1),
        "ours_p99_ms": round(median("ours", "p99") * 1e3, 2),
        "theirs_p99_ms": round(median(rival, "p99") * 1e3, 2),
    }


def _drive(port: int, *, seconds: float) -> dict[str, float]:
    paths = "\n".join(f"/prices/latest?symbol={symbol}&provider={_PROVIDER}" for symbol in _SYMBOLS)
    command = [sys.executable, "-m", "marketdata_tools.bench.http_load"]
    done = subprocess.run(
        [*command, str(port), str(seconds), str(_CONNECTIONS)],
        check=True,
        input=paths.encode(),
        stdout=subprocess.PIPE,
        preexec_fn=_pinned(-1),
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _pinned(place: int) -> Any:
    """Return what pins a child to one core: servers to the first, the client to the last."""
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[place]})


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, tuple[int, int]]]:
    """Yield the port and process id of each contender; all share one Redis, filled."""
    with ExitStack() as stack:
        redis = EmbeddedRedis(folder / "redis")
        redis.start()
        stack.callback(redis.stop)
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        postgres.start()
        stack.callback(postgres.discard)
        environ = {"DATABASE_URL": postgres.url(), "REDIS_URL": redis.url()}
        (reached,) = settings.read(PostgresSettings, environ=environ)
        schema.migrate(create_engine(reached, application="bench"))
        _fill(redis.url())
        servers = {}
        for name in _CONTENDERS:
            port = free_port()
            command = [
                sys.executable,
                "-m",
                "marketdata_tools.bench.http_rivals",
                name,
                str(port),
                redis.url(),
            ]
            if name == "ours":
                command = [sys.executable, "-m", "marketdata_api"]
            child = Child(
                command,
                log=folder / f"{name}.log",
                environ={
                    **os.environ,  # noqa: TID251 - passed on to the servers
                    **environ,
                    "MARKETDATA_API_HOST": LOOPBACK,
                    "MARKETDATA_API_PORT": str(port),
                    "MARKETDATA_METRICS_HOST": LOOPBACK,
                    "MARKETDATA_METRICS_PORT": "0",
                },
            )
            stack.callback(child.end)
            os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
            _await(child, port)
            servers[name] = (port, child.pid)
        yield servers


def _await(child: Child, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_listening(port):
        if child.exit_status() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a server did not start:\n{child.log_tail()}")
        child.has_ended(within=0.05)


def _fill(redis_url: str) -> None:
    now = SystemClock().now()
    with Redis.from_url(redis_url) as redis:
        for symbol in _SYMBOLS:
            point = PricePoint(
                provider=_PROVIDER,
                symbol=symbol,
                observed_at=now - timedelta(seconds=5),
                price=Decimal("231.5"),
                currency="USD",
                fetched_at=now,
                raw_response_id=uuid7(now),
                market_state="REGULAR",
                delayed_by_seconds=0,
                interval_seconds=60,
            )
            redis.set(latest_key(symbol, _PROVIDER), render(point), ex=3_600)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
