"""What the poller and the consumer tell of themselves while prices flow, and while they do not."""

import re

import pytest
import sqlalchemy as sa

from marketdata.storage.job_book import PostgresJobBook
from support.builders import a_job
from support.metrics import metric, scrape
from support.processes import Process, Processes
from support.servers import Database, Kafka
from support.waiting import eventually


@pytest.fixture
def env(kafka: Kafka, database: Database, redis_url: str) -> dict[str, str]:
    return {
        **kafka.env(),
        "DATABASE_URL": database.url,
        "MARKETDATA_METRICS_HOST": "127.0.0.1",
        "MARKETDATA_METRICS_PORT": "0",
        "MARKETDATA_LOG_FORMAT": "json",
    }


def told(process: Process, name: str, **labels: str) -> float:
    """Return a metric, and below zero what is not told."""
    value = metric(port(process), name, **labels)
    return -1.0 if value is None else value


def port(process: Process) -> int:
    return int(process.says(r'"metrics_port": (\d+)').group(1))


def test_the_age_of_prices_is_told_by_where_it_arose(
    env: dict[str, str], database: Database, redis_url: str, processes: Processes
) -> None:
    # First the consumer: an age in the store is not to be that of a backlog from while it started.
    consumer = processes.start("marketdata_consumer", env={**env, "REDIS_URL": redis_url})
    consumer.says('"positioned"')
    PostgresJobBook(database.engine).create(a_job("A", "B", interval_seconds=1))
    poller = processes.start("marketdata_poller", env={**env, "MARKETDATA_POLLER_PROVIDERS": "synthetic"})

    name = "marketdata_price_age_seconds_count"
    for of, part, provider in (
        (poller, "provider", "synthetic"),
        (poller, "fetch", "synthetic"),
        (poller, "publish", ""),
        (consumer, "store", ""),
    ):
        eventually(lambda: told(of, name, part=part, provider=provider) > 0, within=40)  # noqa: B023 - run at once
    assert told(consumer, "marketdata_price_age_seconds_sum", part="store", provider="") < 60
    # Told when all partitions flow, and some may have flowed before.
    eventually(lambda: told(consumer, "marketdata_consumer_rebalance_pause_seconds_count") > 0, within=20)


def test_a_due_job_that_nobody_takes_shows_as_late(
    env: dict[str, str], database: Database, processes: Processes
) -> None:
    job = PostgresJobBook(database.engine).create(a_job("A"))
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("update polling_schedule set due_at = now() - interval '100 s' where job_id = :id"),
            {"id": job.job_id},
        )
    poller = processes.start(
        "marketdata_poller",
        "--roles",
        "maintain",
        env={**env, "MARKETDATA_POLLER_PROVIDERS": "synthetic,yfinance"},
    )

    late = "marketdata_poller_due_lateness_seconds"
    eventually(lambda: 99 < told(poller, late, provider="synthetic") < 200, within=20)
    assert told(poller, late, provider="yfinance") == 0
    waiting = "marketdata_poller_dead_letters_waiting"  # looked for after what is late
    eventually(lambda: told(poller, waiting, awaits="decision") == 0, within=20)
    loop = re.compile(r'marketdata_heartbeat_age_seconds\{loop="maintenance"\}')
    assert loop.search(scrape(port(poller)))
