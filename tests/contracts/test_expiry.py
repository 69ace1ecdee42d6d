"""Rows that end: old enough, and needed by nothing."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata.identifiers import uuid7
from marketdata.storage.expiry import Expiry, PostgresExpiry
from marketdata.storage.partitions import PostgresPartitions
from support.servers import Database

the_time = SystemClock().now

KEEP = Expiry(dead_letters=90, poll_ledger=365, promise_ledger=90)


@pytest.fixture
def rows(database: Database) -> PostgresExpiry:
    return PostgresExpiry(database.engine)


def execute(database: Database, statement: str, **values: object) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def ago(days: float) -> datetime:
    return the_time() - timedelta(days=days)


def a_letter(
    database: Database, age_days: float, *, event: UUID | None = None, **times: datetime | None
) -> None:
    execute(
        database,
        """insert into dead_letters (id, event_id, account, topic, "partition", "offset", headers, digest,
          reason, detail, created_at, forwarded_at, replay_requested_at, replayed_at)
        values (:id, :event, 'a', 't', 0, (select count(*) from dead_letters), '[]', '', 'poison', '',
          :created, :forwarded, :requested, :replayed)""",
        id=uuid7(ago(age_days)),
        event=event,
        created=ago(age_days),
        forwarded=times.get("forwarded", ago(age_days)),
        requested=times.get("requested"),
        replayed=times.get("replayed"),
    )


def an_event(database: Database, *, settled: bool) -> UUID:
    now = the_time()
    identifier = uuid7(now)
    PostgresPartitions(database.engine).ensure([now.date()])
    execute(
        database,
        """insert into outbox (event_id, raw_response_id, provider, symbol, observed_at, fetched_at, outcome,
          payload, settled_at) values (:id, :id, 'p', 'A', now(), now(), 'fresh', '', :settled)""",
        id=identifier,
        settled=ago(0) if settled else None,
    )
    return identifier


def test_old_letters_go_that_nothing_waits_for(database: Database, rows: PostgresExpiry) -> None:
    a_letter(database, 91)
    a_letter(database, 91, requested=ago(2), replayed=ago(1))
    a_letter(database, 91, event=an_event(database, settled=True))
    a_letter(database, 91, event=an_event(database, settled=False), requested=ago(2), replayed=ago(1))

    assert rows.delete_old(KEEP) == {"dead_letters": 4}


def test_a_letter_stays_while_it_is_young_or_waited_for_or_accounts_for_an_open_event(
    database: Database, rows: PostgresExpiry
) -> None:
    a_letter(database, 89)
    a_letter(database, 91, forwarded=None)
    a_letter(database, 91, requested=ago(1))
    a_letter(database, 91, event=an_event(database, settled=False))

    assert rows.delete_old(KEEP) == {}


def test_old_idempotency_keys_and_hours_of_the_ledgers_go(database: Database, rows: PostgresExpiry) -> None:
    for age_days in (0.9, 1.1):
        execute(
            database,
            """insert into idempotency_keys (key, body_digest, job_id, response, created_at)
            values (:key, '', :job, '{}', :created)""",
            key=str(age_days),
            job=uuid4(),
            created=ago(age_days),
        )
    for age_days in (364, 366):
        execute(
            database,
            "insert into poll_ledger (job_id, hour) values (:job, :hour)",
            job=uuid4(),
            hour=ago(age_days),
        )

    for age_days in (89, 91):
        execute(
            database,
            "insert into promise_ledger (job_id, hour, counted, kept) values (:job, :hour, 1, 1)",
            job=uuid4(),
            hour=ago(age_days),
        )
        execute(
            database,
            "insert into promise_days (job_id, day, counted, kept) values (:job, :day, 1, 1)",
            job=uuid4(),
            day=ago(age_days),
        )

    assert rows.delete_old(KEEP) == {
        "idempotency_keys": 1,
        "poll_ledger": 1,
        "promise_ledger": 1,
        "promise_days": 1,
    }
    assert rows.delete_old(KEEP) == {}
