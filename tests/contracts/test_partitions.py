"""Partitions: made ahead, harmless to make twice, dropped only when they may go."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from uuid import UUID

import pytest
import sqlalchemy as sa

from marketdata.errors import StoreTimeout, StoreUnavailable
from marketdata.identifiers import uuid7
from marketdata.storage import partitions as partitions_module
from marketdata.storage.partitions import PostgresPartitions, Retention, bounds, partition_name
from marketdata.storage.raw_archive import PostgresRawArchive, insert
from support.builders import a_raw
from support.servers import Database
from support.waiting import eventually

SOON = 8  # seconds: over LOCK_TIMEOUT, and under the timeout of a statement
KEEP = Retention(raw_market_data=3, outbox=2, polls=3)


@pytest.fixture
def partitions(database: Database) -> PostgresPartitions:
    return PostgresPartitions(database.engine)


def names(database: Database) -> set[str]:
    with database.engine.begin() as connection:
        return set(
            connection.scalars(sa.text("select relname from pg_class where relispartition and relkind = 'r'"))
        )


def at_noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def an_open_event(database: Database, day: date, *, settled: bool) -> UUID:
    identifier = uuid7(at_noon(day))
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                """insert into outbox (event_id, raw_response_id, provider, symbol, observed_at, fetched_at,
                outcome, payload, settled_at)
                values (:id, :id, 'p', 'A', now(), now(), 'fresh', '', :settled)"""
            ),
            {"id": identifier, "settled": at_noon(day) if settled else None},
        )
    return identifier


def reopen(database: Database) -> None:
    """Open every event there is again, as a replay of its dead letter does."""
    with database.engine.begin() as connection:
        connection.execute(sa.text("update outbox set settled_at = null"))


def events(database: Database) -> list[UUID]:
    with database.engine.begin() as connection:
        return list(connection.scalars(sa.text("select event_id from outbox")))


def just_before(database: Database, words: str, act: Callable[[], object]) -> None:
    """Call `act` once, when a statement that begins with `words` is about to be sent."""
    acted = False

    def look(_: sa.Connection, __: object, statement: str, *___: object) -> None:
        nonlocal acted
        if statement.startswith(words) and not acted:
            acted = True
            act()

    sa.event.listen(database.engine, "before_cursor_execute", look)


def test_a_day_belongs_to_exactly_one_partition_of_each_table(
    database: Database, partitions: PostgresPartitions
) -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2)]

    assert partitions.ensure(days) == 6
    assert partitions.ensure(days) == 0
    assert names(database) == {
        partition_name(table, day) for table in ("raw_market_data", "outbox", "polls") for day in days
    }
    last = datetime(2026, 3, 1, 23, 59, 59, 999_000, tzinfo=UTC)
    for moment, day in ((last, days[0]), (last + timedelta(milliseconds=1), days[1])):
        lower, upper = bounds("outbox", day)
        assert lower <= str(uuid7(moment)) < upper


def test_days_that_come_one_by_one_are_made_in_every_table(partitions: PostgresPartitions) -> None:
    assert partitions.ensure(date(2026, 3, number) for number in (1, 2)) == 6


def test_old_days_go_and_the_archive_says_from_when_on_it_knows(
    database: Database, partitions: PostgresPartitions
) -> None:
    today = partitions.today()
    old = today - timedelta(days=5)
    partitions.ensure([old, today])
    raw = a_raw(fetched_at=at_noon(old))
    with database.engine.begin() as connection:
        insert(connection, [raw], unfenced=set())
    archive = PostgresRawArchive(database.engine)
    assert archive.get(raw.raw_response_id) == raw
    dropped = partitions.drop_old(KEEP)

    assert set(dropped) == {partition_name(table, old) for table in ("raw_market_data", "outbox", "polls")}
    assert archive.get(raw.raw_response_id) is None
    assert archive.dropped_before() > raw.fetched_at
    assert archive.dropped_before() <= at_noon(today)
    assert partitions.drop_old(KEEP) == []


def test_a_day_of_the_outbox_stays_while_one_event_of_it_is_open(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day])
    an_open_event(database, day, settled=True)
    an_open_event(database, day, settled=False)
    assert partition_name("outbox", day) not in partitions.drop_old(KEEP)

    with database.engine.begin() as connection:
        connection.execute(sa.text("update outbox set settled_at = now()"))
    assert partitions.drop_old(KEEP) == [partition_name("outbox", day)]


def test_an_event_reopened_while_its_day_is_about_to_go_keeps_the_day(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    event = an_open_event(database, day, settled=True)
    just_before(database, "alter table outbox detach", lambda: reopen(database))

    assert partitions.drop_old(KEEP) == []
    assert events(database) == [event]


def test_an_event_whose_reopening_is_waited_for_by_the_detaching_keeps_the_day(
    database: Database, partitions: PostgresPartitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the detaching gives up where the reopening is slow, and there is nothing to be seen.
    monkeypatch.setattr(partitions_module, "LOCK_TIMEOUT", "60s")
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    event = an_open_event(database, day, settled=True)
    waits = sa.text(
        """select exists (select from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and query like 'alter table outbox detach%')"""
    )

    def is_waited_for() -> bool:
        with database.engine.begin() as connection:
            return bool(connection.scalar(waits))

    with ThreadPoolExecutor(max_workers=1) as pool:
        with database.engine.begin() as replay:
            replay.execute(sa.text("update outbox set settled_at = null"))
            dropping = pool.submit(partitions.drop_old, KEEP)
            eventually(is_waited_for, within=20, every=0.01)
        assert dropping.result(20) == []

    assert events(database) == [event]


def leave(database: Database, day: date, *, left: str) -> None:
    """Leave a day of the outbox as a drop does that died: detached, or being detached."""
    detach = f"alter table outbox detach partition {partition_name('outbox', day)}"
    if left == "detached":
        with database.engine.begin() as connection:
            connection.execute(sa.text(detach))
    else:  # a reader that stays lets the first of its two transactions through only
        with database.engine.begin() as reader, database.engine.connect() as plain:
            reader.execute(sa.text("select from outbox"))
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text("set lock_timeout = '10ms'"))
            with pytest.raises(sa.exc.OperationalError):
                connection.execute(sa.text(f"{detach} concurrently"))
            plain.invalidate()


left_behind = pytest.mark.parametrize("left", ["detached", "pending"])


@left_behind
def test_a_day_with_an_open_event_that_a_drop_left_detached_is_attached_again(
    database: Database, partitions: PostgresPartitions, left: str
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    event = an_open_event(database, day, settled=False)
    leave(database, day, left=left)
    assert events(database) == []

    assert partitions.drop_old(KEEP) == []
    assert events(database) == [event]


@left_behind
def test_a_day_that_a_drop_left_detached_takes_rows_again_when_it_is_asked_for(
    database: Database, partitions: PostgresPartitions, left: str
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    before = an_open_event(database, day, settled=True)
    leave(database, day, left=left)

    assert partitions.ensure([day], tables=["outbox"]) == 1
    event = an_open_event(database, day, settled=False)
    assert set(events(database)) == {before, event}
    assert partitions.ensure([day], tables=["outbox"]) == 0


def a_lock_is_waited_for(database: Database) -> bool:
    """Tell whether a session has asked for an advisory lock that it does not hold."""
    waits = sa.text(
        """select exists (select from pg_stat_activity as session where datname = current_database()
        and query like 'select pg_%advisory_xact_lock%' and pid != pg_backend_pid()
        and (wait_event = 'advisory' or state = 'idle in transaction') and not exists (
          select from pg_locks as held where locktype = 'advisory' and granted and held.pid = session.pid
          and cast(objid as bigint) = hashtext(split_part(query, '''', 2)) & 4294967295))"""
    )
    with database.engine.begin() as connection:
        return bool(connection.scalar(waits))


def test_two_that_attach_a_day_again_at_once_do_not_wait_for_each_other(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    leave(database, day, left="pending")
    with ThreadPoolExecutor(max_workers=1) as pool:
        asked: list[Future[int]] = []

        def ask() -> None:
            asked.append(pool.submit(partitions.ensure, [day], tables=["outbox"]))
            eventually(lambda: a_lock_is_waited_for(database), within=20, every=0.01)

        just_before(database, "alter table outbox detach", ask)
        assert partitions.ensure([day], tables=["outbox"]) == 1
        assert asked[0].result(20) == 0


def test_a_long_reader_fails_who_attaches_a_day_again_soon_and_the_others_go_on(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    leave(database, day, left="pending")
    waits = sa.text(
        """select exists (select from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and query like 'alter table outbox detach%')"""
    )

    def is_waited_for() -> bool:
        with database.engine.begin() as connection:
            return bool(connection.scalar(waits))

    with ThreadPoolExecutor(max_workers=2) as pool, database.engine.connect() as plain:
        reader = plain.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(
            sa.text("select from schema_state")
        )  # of no partition, and yet older than what follows
        began = monotonic()
        attaching = pool.submit(partitions.ensure, [day], tables=["outbox"])
        eventually(is_waited_for, within=20, every=0.01)
        making = pool.submit(partitions.ensure, [day + timedelta(days=1)], tables=["outbox"])

        error = attaching.exception(20)
        assert type(error) is StoreTimeout
        assert making.result(20) == 1
        assert monotonic() - began < SOON
        plain.rollback()

    assert partitions.ensure([day], tables=["outbox"]) == 1


def test_a_day_that_is_asked_for_while_it_is_dropped_is_made_after_that(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day], tables=["outbox"])
    an_open_event(database, day, settled=True)

    with ThreadPoolExecutor(max_workers=1) as pool:
        asked: list[Future[int]] = []

        def ask() -> None:
            asked.append(pool.submit(partitions.ensure, [day], tables=["outbox"]))
            eventually(lambda: a_lock_is_waited_for(database), within=20, every=0.01)

        just_before(database, "drop table", ask)
        assert partitions.drop_old(KEEP) == [partition_name("outbox", day)]
        assert asked[0].result(20) == 1

    event = an_open_event(database, day, settled=False)
    assert events(database) == [event]


def test_two_that_drop_at_once_do_not_fail_each_other(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day])
    others: list[list[str]] = []
    just_before(
        database,
        "alter table",
        lambda: others.append(PostgresPartitions(database.engine).drop_old(KEEP)),
    )
    dropped = partitions.drop_old(KEEP)

    assert [*dropped, *others[0]] == [
        partition_name(table, day) for table in ("outbox", "polls", "raw_market_data")
    ]


def test_a_day_that_somebody_reads_for_long_is_left_to_the_next_time(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day])
    with database.engine.begin() as reader:
        reader.execute(sa.text("select from outbox"))
        with pytest.raises(StoreTimeout):
            partitions.drop_old(KEEP)

    assert partition_name("outbox", day) in partitions.drop_old(KEEP)


def test_a_drop_that_died_after_detaching_is_finished(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day])
    name = partition_name("raw_market_data", day)
    with database.engine.begin() as connection:
        connection.execute(sa.text(f"alter table raw_market_data detach partition {name}"))

    assert name in partitions.drop_old(KEEP)
    with database.engine.begin() as connection:
        assert connection.scalar(sa.text("select to_regclass(:name)"), {"name": name}) is None


def test_partitions_are_made_while_another_transaction_writes(
    database: Database, partitions: PostgresPartitions
) -> None:
    today = partitions.today()
    partitions.ensure([today])
    with database.engine.begin() as writer:
        insert(writer, [a_raw(fetched_at=at_noon(today))], unfenced=set())

        assert partitions.ensure([today + timedelta(days=1)]) == 3


def test_answers_are_found_by_provider_symbol_and_time_in_order(
    database: Database, partitions: PostgresPartitions
) -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2)]
    partitions.ensure(days)
    raws = [a_raw((symbol,), fetched_at=at_noon(day)) for day in days for symbol in ("A", "B", "A")]
    with database.engine.begin() as connection:
        insert(connection, raws, unfenced=set())
    found = PostgresRawArchive(database.engine).find(
        "synthetic", ["A"], at_noon(days[0]), at_noon(days[1]) + timedelta(hours=1), 3
    )
    expected = sorted((raw for raw in raws if raw.symbols == ("A",)), key=lambda raw: raw.raw_response_id)

    assert list(found) == expected[:3]


def test_a_server_that_goes_away_during_a_drop_is_told_as_that(
    database: Database, partitions: PostgresPartitions
) -> None:
    day = partitions.today() - timedelta(days=9)
    partitions.ensure([day])

    def end_the_dropping_session() -> None:
        with database.engine.begin() as connection:
            connection.execute(
                sa.text("""
                    select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'advisory'
                    and database = (select oid from pg_database where datname = current_database())
                """)
            )

    just_before(database, "alter table", end_the_dropping_session)
    with pytest.raises(StoreUnavailable):
        partitions.drop_old(KEEP)

    assert partition_name("outbox", day) in partitions.drop_old(KEEP)
