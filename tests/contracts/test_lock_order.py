"""Rows that several lock are locked in one order by all, whatever order they lie or are named in."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from marketdata.domain.publication import Coordinates
from marketdata.identifiers import uuid7
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import PostgresDeadLetters
from marketdata.storage.partitions import PostgresPartitions
from marketdata.storage.positions import PostgresPositions
from support.servers import Database
from support.settling import ACCOUNT, Pipeline, the_time
from support.waiting import eventually

_WAITS_FOR_A_ROW = sa.text("""
    select exists (select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'transactionid')
""")


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as threads:
        yield threads


def somebody_waits_for_a_row(database: Database) -> bool:
    with database.engine.begin() as connection:
        return bool(connection.scalar(_WAITS_FOR_A_ROW))


def test_an_account_that_is_met_again_forgets_its_positions_in_the_order_of_partitions(
    database: Database, other: ThreadPoolExecutor
) -> None:
    positions = PostgresPositions(database.engine)
    positions.open_account(ACCOUNT, "price-events")
    for partition in (1, 0):  # as they lie
        positions.read(ACCOUNT, {partition: 0})
    positions.open_account("another", "price-events")
    lock = sa.text('select from consumer_offsets where account = :account and "partition" = :p for update')

    with database.engine.begin() as consumer:
        consumer.execute(lock, {"account": ACCOUNT, "p": 0})
        opening = other.submit(positions.open_account, ACCOUNT, "price-events")
        eventually(lambda: somebody_waits_for_a_row(database), within=20)
        consumer.execute(lock, {"account": ACCOUNT, "p": 1})
    assert opening.result(20)


def test_a_replay_takes_dead_letters_out_of_the_ledger_in_the_order_of_its_rows(
    database: Database, other: ThreadPoolExecutor
) -> None:
    pipeline = Pipeline(database.engine)
    today = the_time()
    PostgresPartitions(database.engine).ensure([today.date()])
    for provider in ("a", "b"):
        pipeline.execute(
            "insert into event_ledger (provider, day, created, dead) values (:provider, :day, 1, 1)",
            provider=provider,
            day=today.date(),
        )
    for provider in ("b", "a"):  # as the events were made, and are opened again
        event = uuid7(today)
        pipeline.execute(
            """insert into outbox (event_id, raw_response_id, provider, symbol, observed_at, fetched_at,
              outcome, payload, settled_at, settlement)
            values (:id, :id, :provider, 'A', now(), now(), 'fresh', '', now(), 'dead')""",
            id=event,
            provider=provider,
        )
        pipeline.dead_letter(event, offset=ord(provider))
    PostgresDeadLetters(database.engine).request_replay()
    lock = sa.text("select from event_ledger where provider = :provider for update")

    def replay() -> None:
        with PostgresDeadLetterRelay(database.engine).requested(10) as batch:
            batch.mark_replayed([(letter, Coordinates(ACCOUNT, 0, 9)) for letter in batch.letters])

    with database.engine.begin() as sweep:
        sweep.execute(lock, {"provider": "a"})
        replaying = other.submit(replay)
        eventually(lambda: somebody_waits_for_a_row(database), within=20)
        sweep.execute(lock, {"provider": "b"})
    replaying.result(20)

    assert pipeline.execute("select dead from event_ledger").scalars().all() == [0, 0]
