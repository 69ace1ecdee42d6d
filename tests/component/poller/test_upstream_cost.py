"""What polling costs upstream, by the upstream's own count, and what a replay makes of the answers."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from marketdata.storage.job_book import PostgresJobBook
from marketdata_poller.providers import replay
from support.builders import a_job, a_seldom_interval
from support.processes import Process, Processes
from support.providers import OpenGate
from support.servers import Database
from support.waiting import eventually
from support.yahoo import Yahoo

_POLLS = "select count(*) from polls"
_PRICED = "select coalesce(sum(fresh + unchanged), 0) from polls"
_RAW = "select headers ->> 'x-yahoo-request-id', body from raw_market_data where cardinality(symbols) > 0"


@pytest.fixture
def poller(database: Database, yahoo: Yahoo, processes: Processes, tmp_path: Path) -> Callable[[], Process]:
    """Starts a process that polls and does nothing else."""

    def started() -> Process:
        return processes.start(
            "marketdata_poller",
            "--roles",
            "poll",
            env={
                "DATABASE_URL": database.url,
                "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": "0",
                "MARKETDATA_POLLER_PROVIDERS": "yfinance",
                "MARKETDATA_YFINANCE_BASE_URL": yahoo.url,
                "MARKETDATA_YFINANCE_CACHE_DIR": str(tmp_path / f"cache-{len(processes.started)}"),
            },
        )

    return started


def rows(database: Database, statement: str) -> list[Any]:
    with database.engine.begin() as connection:
        return list(connection.execute(sa.text(statement)).all())


@pytest.mark.parametrize("pollers", [1, 2])
def test_five_hundred_symbols_of_ten_jobs_cost_six_requests_a_round(
    database: Database, yahoo: Yahoo, poller: Callable[[], Process], pollers: int
) -> None:
    book = PostgresJobBook(database.engine)
    interval = a_seldom_interval("yfinance")
    for first in range(1, 501, 50):
        symbols = [f"SYM{number:03}" for number in range(first, first + 50)]
        book.create(a_job(*symbols, provider="yfinance", interval_seconds=interval))

    for _ in range(pollers):
        poller()
    eventually(lambda: rows(database, _POLLS) == [(10,)], within=60)

    assert rows(database, _PRICED) == [(500,)]
    assert {name: yahoo.counts().get(name, 0) for name in ("quote", "chart")} == {"quote": 6, "chart": 0}
    given = {(str(one.number), one.sha256) for one in yahoo.answers() if one.endpoint == "quote"}
    kept = {(number, hashlib.sha256(bytes(body)).hexdigest()) for number, body in rows(database, _RAW)}
    assert kept == given


def test_stored_answers_are_told_again_out_of_the_real_archive(
    database: Database, yahoo: Yahoo, poller: Callable[[], Process]
) -> None:
    symbols = ("AAPL", "MSFT", "^GSPC")
    PostgresJobBook(database.engine).create(a_job(*symbols, provider="yfinance", interval_seconds=1))
    process = poller()
    eventually(lambda: rows(database, _POLLS)[0][0] >= 3, within=60)
    process.terminate()
    assert process.wait() == 0

    provider = replay.create({"DATABASE_URL": database.url})
    told = []
    while (answer := provider.fetch(symbols, gate=OpenGate())).quotes:
        told.append({(quote.symbol, quote.price, quote.observed_at) for quote, _ in answer.quotes.values()})
    provider.close()

    assert told == [
        {(symbol, Decimal(price), datetime.fromtimestamp(at, UTC)) for symbol, price, at in one.quotes}
        for one in yahoo.answers()
        if one.endpoint == "quote"
    ]
