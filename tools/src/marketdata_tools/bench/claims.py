"""Claiming and finishing due jobs: in batches as the poller does, against one at a time.

Both sides run against one PostgreSQL with its ordinary durability, on tables of the same shape and
the same number of due jobs, in turns. A job counts when its poll, its ledger, its state and its next
due time are committed. The rival is the usual queue, in plain SQL: a
transaction that takes one job with `for update skip locked limit 1`, and one that finishes it.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic import SecretStr

from marketdata.domain.job import PollingJob
from marketdata.domain.poll import Outcome, SymbolOutcome
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.outcomes import PostgresOutcomes, Recording
from marketdata.storage.partitions import PostgresPartitions
from marketdata_tools.embedded.postgres import EmbeddedPostgres

Row = dict[str, Any]

JOBS = 2000
ONE_AT_A_TIME = 200  # of the same JOBS rows; enough for a rate, and a bench has an end
ROUNDS = 5
FLOOR = 10.0

_LEASE = timedelta(minutes=5)
_PROVIDER = "synthetic"


def measure() -> list[Row]:
    """Return the row of the report; starts and ends a server of its own."""
    with tempfile.TemporaryDirectory(prefix="marketdata-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "server")
        server.start()
        try:
            return _measure(server.url())
        finally:
            server.stop()


def _measure(url: str) -> list[Row]:
    engine = create_engine(PostgresSettings(url=SecretStr(url)), application="marketdata-bench")
    try:
        schema.migrate(engine)
        _make_jobs(engine)
        partitions = PostgresPartitions(engine)
        partitions.ensure([partitions.today() + timedelta(days=1), partitions.today()])
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(_rate(engine, _in_batches))
            theirs.append(_rate(engine, _one_at_a_time))
    finally:
        engine.dispose()
    return [
        {
            "name": "claim and finish due jobs",
            "ours": round(statistics.median(ours)),
            "theirs": round(statistics.median(theirs)),
            "unit": "jobs/s",
            "ratio": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 1),
            "floor": FLOOR,
        }
    ]


def _rate(engine: sa.Engine, work: Callable[[sa.Engine], int]) -> float:
    with engine.begin() as connection:
        connection.execute(
            sa.text("update polling_schedule set due_at = clock_timestamp(), lease_until = null")
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze polling_schedule, job_states, poll_ledger"))
    started = time.perf_counter()
    done = work(engine)
    return done / (time.perf_counter() - started)


def _make_jobs(engine: sa.Engine) -> None:
    book = PostgresJobBook(engine)
    for number in range(JOBS):
        book.create(PollingJob(uuid4(), (f"SYM{number % 500}",), _PROVIDER, 60))


def _in_batches(engine: sa.Engine) -> int:
    queue = PostgresJobQueue(engine, owner="bench", lease=_LEASE)
    outcomes = PostgresOutcomes(engine, poller="bench", lease=_LEASE)
    done = 0
    while done < JOBS:
        claim = queue.claim(_PROVIDER)
        assert claim is not None, "nobody else claims here"
        known = {
            symbol: SymbolOutcome(Outcome.UNCHANGED, claim.claimed_at)
            for job in claim.jobs
            for symbol in job.symbols
        }
        done += len(outcomes.record(Recording(_PROVIDER, claim.claimed_at, claim.jobs, known)).completed)
    return done


_TAKE = """
    update polling_schedule as schedule set lease_owner = 'bench', lease_token = %s,
      lease_until = now() + interval '5 minutes'
    from polling_jobs as job
    where job.job_id = schedule.job_id and schedule.job_id = (
      select job_id from polling_schedule
      where provider = %s and due_at <= now() and (lease_until is null or lease_until <= now())
      order by due_at limit 1 for update skip locked)
    returning schedule.job_id, schedule.due_at, job.interval_seconds
"""
_POLL = """
    insert into polls (job_id, tick_at, poller, asked, fresh, unchanged, failed, skipped)
    values (%s, %s, 'bench', 1, 0, 1, 0, 0)
"""
_LEDGER = """
    insert into poll_ledger as ledger (job_id, hour, polls, asked, unchanged)
    values (%s, date_trunc('hour', %s, 'UTC'), 1, 1, 1)
    on conflict (job_id, hour) do update
    set polls = ledger.polls + 1, asked = ledger.asked + 1, unchanged = ledger.unchanged + 1
"""
_STATE = """
    update job_states set last_poll_at = now(), last_success_at = now(), consecutive_failures = 0
    where job_id = %s
"""
_NEXT = """
    update polling_schedule set due_at = now() + make_interval(secs => %s), lease_owner = null,
      lease_token = null, lease_until = null
    where job_id = %s and lease_token = %s
"""


def _one_at_a_time(engine: sa.Engine) -> int:
    with engine.connect() as pooled:
        connection = pooled.connection
        for _ in range(ONE_AT_A_TIME):
            token = uuid4()
            cursor = connection.cursor()
            cursor.execute(_TAKE, (token, _PROVIDER))
            ((job_id, due_at, interval),) = cursor.fetchall()
            connection.commit()
            cursor.execute(_NEXT, (interval, job_id, token))
            cursor.execute(_POLL, (job_id, due_at))
            cursor.execute(_LEDGER, (job_id, due_at))
            cursor.execute(_STATE, (job_id,))
            connection.commit()
    return ONE_AT_A_TIME
