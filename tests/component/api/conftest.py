"""The API as the process that ships, with a database and a cache of its own."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from redis import Redis

from marketdata.cache.reader import latest_key
from marketdata.domain.answer import RawResponse
from marketdata.domain.average import WINDOW, moving_average
from marketdata.domain.price import PricePoint
from marketdata.messages.latest import render
from marketdata.storage import raw_archive
from marketdata.storage.engine import transaction
from marketdata.storage.partitions import PostgresPartitions
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.redis import EmbeddedRedis
from support import servers
from support.ports import free_port
from support.processes import Process, Processes
from support.servers import Database
from support.waiting import eventually


@dataclass(slots=True)
class Api:
    """A running API: requests go through `http`."""

    process: Process
    database: Database
    redis: Redis
    http: httpx.Client
    metrics: httpx.Client

    def get(self, path: str, /, headers: Any = None, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params or None, headers=headers)

    def poll(self, **wish: Any) -> httpx.Response:
        return self.http.post("/prices/poll", json={"symbols": ["AAPL"], "interval": 60} | wish)

    def store(self, *points: PricePoint) -> None:
        """Put points where a consumer puts them, averages recomputed naively."""
        store(self.database.engine, points)

    def cached(self, symbol: str, provider: str | None) -> bytes | None:
        value: bytes | None = self.redis.get(latest_key(symbol, provider))  # type: ignore[assignment]
        return value

    def cache(self, point: PricePoint, *, any_provider: bool = False) -> None:
        self.redis.set(
            latest_key(point.symbol, None if any_provider else point.provider), render(point), ex=300
        )

    def count(self, *tables: str) -> dict[str, int]:
        """Return how many rows each table has."""
        with self.database.engine.connect() as connection:
            return {
                table: int(connection.scalar(sa.text(f"select count(*) from {table}")) or 0)
                for table in tables
            }

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(sa.text(statement), parameters)

    def close(self) -> None:
        self.redis.close()
        self.http.close()
        self.metrics.close()

    def metric(self, line: str) -> float:
        """Return the value of the sample that `line` begins with, 0 where there is none."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.metrics.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


def store(engine: sa.Engine, points: Sequence[PricePoint]) -> None:
    with engine.begin() as connection:
        for point in points:
            connection.execute(
                sa.text(
                    "insert into price_points (provider, symbol, observed_at, price, currency,"
                    " raw_response_id,"
                    " fetched_at) values (:provider, :symbol, :observed_at, :price, :currency,"
                    " :raw_response_id, :fetched_at)"
                ),
                _columns(point),
            )
            earlier = connection.scalars(
                sa.text(
                    "select price from price_points where provider = :provider and symbol = :symbol"
                    " and observed_at <= :observed_at order by observed_at desc limit :window"
                ),
                {**_columns(point), "window": WINDOW},
            ).all()
            mean = moving_average(list(earlier))
            connection.execute(
                sa.text(
                    'insert into symbol_averages (provider, symbol, observed_at, "window", moving_average,'
                    " sample_size) values (:provider, :symbol, :observed_at, :window, :mean, :size)"
                ),
                {**_columns(point), "window": WINDOW, "mean": mean.average, "size": mean.sample_size},
            )
            connection.execute(
                sa.text(
                    "insert into latest_prices (provider, symbol, observed_at, price, currency, fetched_at,"
                    " raw_response_id, market_state, delayed_by, interval_seconds)"
                    " values (:provider, :symbol,"
                    " :observed_at, :price, :currency, :fetched_at, :raw_response_id, :market_state,"
                    " :delayed_by_seconds, :interval_seconds)"
                    " on conflict (provider, symbol) do update set observed_at = excluded.observed_at,"
                    " price = excluded.price, fetched_at = excluded.fetched_at,"
                    " raw_response_id = excluded.raw_response_id"
                    " where latest_prices.observed_at <= excluded.observed_at"
                ),
                _columns(point),
            )


def store_raw(database: Database, raw: RawResponse) -> None:
    """Keep an answer as the poller keeps it."""
    PostgresPartitions(database.engine).ensure([raw.fetched_at.date()])
    with transaction(database.engine) as connection:
        raw_archive.insert(connection, [raw], unfenced=[raw.raw_response_id])


def _columns(point: PricePoint) -> dict[str, Any]:
    return {
        "provider": point.provider,
        "symbol": point.symbol,
        "observed_at": point.observed_at,
        "price": point.price,
        "currency": point.currency,
        "fetched_at": point.fetched_at,
        "raw_response_id": point.raw_response_id,
        "market_state": point.market_state,
        "delayed_by_seconds": point.delayed_by_seconds,
        "interval_seconds": point.interval_seconds,
    }


def start(
    processes: Processes, database: Database, redis_url: str, *, until_ready: bool = True, **more: str
) -> Api:
    """Start an API and wait until it listens, and until it is ready."""
    process = processes.start(
        "marketdata_api",
        env={
            "DATABASE_URL": database.url,
            "REDIS_URL": redis_url,
            "MARKETDATA_API_HOST": "127.0.0.1",
            "MARKETDATA_API_PORT": "0",
            "MARKETDATA_METRICS_HOST": "127.0.0.1",
            "MARKETDATA_METRICS_PORT": "0",
            "MARKETDATA_LOG_FORMAT": "json",
        }
        | more,
    )
    found = process.says(r'"port": (\d+), "metrics_port": (\d+)', within=60)
    api = Api(
        process=process,
        database=database,
        redis=Redis.from_url(redis_url),
        http=httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=20),
        metrics=httpx.Client(base_url=f"http://127.0.0.1:{found[2]}", timeout=20),
    )
    if until_ready:
        eventually(lambda: api.get("/readyz").status_code == 200, within=60)
    return api


@contextmanager
def running_api(
    postgres: EmbeddedPostgres, template: str, redis: EmbeddedRedis, folder: Path, **more: str
) -> Iterator[Api]:
    """Start an API with a database of its own that outlives a test; what ends unasked fails the last."""
    processes = Processes(folder)
    with servers.new_database(postgres, template) as database:
        api = start(processes, database, redis.url(), until_ready=True, **more)
        yield api
        api.close()
        unasked = processes.end()
        assert not unasked, "\n".join([*unasked, *(text for _, text in processes.logs())])


Start = Callable[..., Api]


@pytest.fixture
def start_api(database: Database, redis_url: str, processes: Processes) -> Iterator[Start]:
    """Starts an API of the test's own; `redis=` and settings replace what it gets."""
    started: list[Api] = []

    def begin(*, redis: str = redis_url, until_ready: bool = True, **more: str) -> Api:
        started.append(start(processes, database, redis, until_ready=until_ready, **more))
        return started[-1]

    yield begin
    for api in started:
        api.close()


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("api-redis"), port=free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared_api(
    postgres_server: EmbeddedPostgres,
    _template: str,
    own_redis: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Api]:
    with running_api(
        postgres_server,
        _template,
        own_redis,
        tmp_path_factory.mktemp("api"),
        # Where an answer comes from is not to depend on how busy the machine is.
        MARKETDATA_API_CACHE_TIMEOUT_SECONDS="20",
        MARKETDATA_API_STORE_TIMEOUT_SECONDS="20",
    ) as api:
        yield api


@pytest.fixture
def api(shared_api: Api) -> Api:
    """One API for the tests of a file, its database and cache emptied for each."""
    shared_api.execute(
        "truncate polling_jobs, polling_schedule, job_states, idempotency_keys, price_points,"
        " symbol_averages, latest_prices, poll_ledger, event_ledger, retention cascade"
    )
    # What the last test's answers fill goes before this question, on the same connection to Redis.
    shared_api.get("/prices/latest", symbol="NOBODYS")
    shared_api.redis.flushall()
    return shared_api
