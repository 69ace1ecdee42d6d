"""The poller between real parts, with the Yahoo stand-in upstream and the real consumer downstream."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.ledger import PostgresLedger
from support import proof
from support.builders import a_job, a_seldom_interval
from support.processes import Process, Processes
from support.servers import Database, Kafka
from support.waiting import eventually
from support.yahoo import Yahoo

_OPEN = sa.text(
    """
    select symbol, observed_at, published_at, publications, account, "partition", "offset"
    from outbox where settled_at is null order by event_id limit 5
    """
)


@dataclass
class World:
    """One deployment of pollers and a consumer."""

    database: Database
    kafka: Kafka
    redis_url: str
    upstream: Yahoo
    processes: Processes
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def book(self) -> PostgresJobBook:
        return PostgresJobBook(self.database.engine)

    def poller(self, *arguments: str, env: dict[str, str] | None = None, **orders: Any) -> Process:
        """Start a poller; it polls yfinance from the stand-in and little else."""
        return self.processes.start(
            "marketdata_poller",
            *arguments,
            env={
                **self.kafka.env(),
                "DATABASE_URL": self.database.url,
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": "0",
                "MARKETDATA_POLLER_PROVIDERS": "yfinance,synthetic",
                "MARKETDATA_POLLER_LEASE_SECONDS": "1.5",
                "MARKETDATA_SWEEP_SECONDS": "0.2",
                "MARKETDATA_YFINANCE_BASE_URL": self.upstream.url,
                "MARKETDATA_YFINANCE_CACHE_DIR": str(self.folder),
                "MARKETDATA_YFINANCE_REQUESTS_PER_MINUTE": "60000",
                **self.env,
                **(env or {}),
            },
            **orders,
        )

    def consumer(self, env: dict[str, str] | None = None) -> Process:
        return self.processes.start(
            "marketdata_consumer",
            env={
                **self.kafka.env(),
                "DATABASE_URL": self.database.url,
                "REDIS_URL": self.redis_url,
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": "0",
                "MARKETDATA_CONSUMER_ACCOUNT_CHECK_SECONDS": "1",
                **(env or {}),
            },
        )

    def watch(self, *symbols: str, interval_seconds: int = 1, provider: str = "yfinance") -> UUID:
        """Make a job and return its id."""
        job = a_job(*symbols, provider=provider, interval_seconds=interval_seconds)
        return self.book.create(job).job_id

    def watch_once(self, *symbols: str, provider: str = "yfinance") -> UUID:
        """Make a job that is due now, and not again while the test lasts."""
        return self.watch(*symbols, interval_seconds=a_seldom_interval(provider), provider=provider)

    def suspend_all(self) -> None:
        for view in self.book.page(limit=10_000):
            self.book.set_suspended(view.job.job_id, suspended=True)

    def scalar(self, statement: str, **values: object) -> Any:
        with self.database.engine.begin() as connection:
            return connection.execute(sa.text(statement), values).scalar_one()

    def count(self, table: str, where: str = "true") -> int:
        return int(self.scalar(f"select count(*) from {table} where {where}"))

    def more_polls(self, count: int, *, within: float = 30) -> None:
        """Return when `count` more polls than now are recorded."""
        wanted = self.count("polls") + count
        eventually(lambda: self.count("polls") >= wanted, within=within)

    def settle(self, *, within: float = 40) -> None:
        """Return when every event is settled."""

        def look() -> bool:
            with self.database.engine.begin() as connection:
                left = connection.execute(_OPEN).all()
                where = connection.execute(sa.text("select * from consumer_offsets order by 1, 2")).all()
            assert not left, f"open: {left}; positions: {where}"
            return proof.is_drained(self.database.engine)

        eventually(look, within=within)

    def prove(self, provider: str = "yfinance") -> None:
        """Assert that nothing was lost and nothing doubled, and that both ledgers balance."""
        proof.ledgers_balance(self.database.engine)
        proof.nothing_lost_nothing_doubled(self.database.engine, self.upstream.answers, provider=provider)
        imbalance = PostgresLedger(self.database.engine).imbalance()
        assert (imbalance.polls, imbalance.events) == (0, 0)


@pytest.fixture
def world(
    database: Database, kafka: Kafka, redis_url: str, yahoo: Yahoo, processes: Processes, tmp_path: Path
) -> World:
    folder = tmp_path / "yfinance"
    folder.mkdir()
    return World(database, kafka, redis_url, yahoo, processes, folder)
