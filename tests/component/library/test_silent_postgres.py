"""A Postgres that keeps its connections and answers no more, and calls under way with it."""

import io
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from marketdata.errors import StoreUnavailable
from marketdata.storage import engine as engines
from marketdata.storage import raw_archive, schema
from marketdata.storage.engine import create_engine, transaction
from support.builders import a_raw
from support.proxy import Proxy
from support.servers import Database, settings_of
from support.waiting import eventually, holds

MARGIN_SECONDS = 0.5
_ASLEEP = sa.text(
    """select exists (
           select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database())"""
)
_WAITING = sa.text(
    """select exists (
           select from pg_locks
           where locktype = 'advisory' and not granted
             and database = (select oid from pg_database where datname = current_database()))"""
)
MORE_THAN_BUFFERS = "x" * 1_000 + "\n"


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with Proxy(make_url(database.url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def engine(database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """One whose pool holds a connection through the proxy, and whose calls have 1.5 s."""
    monkeypatch.setattr(engines, "ANSWER_MARGIN_SECONDS", MARGIN_SECONDS)
    url = make_url(database.url).set(host="127.0.0.1", port=proxy.port)
    settings = settings_of(url.render_as_string(hide_password=False), pool_size=1)
    made = create_engine(
        settings.model_copy(update={"statement_timeout_seconds": 1.0, "connect_timeout_seconds": 5}),
        application="tests-silent",
    )
    with database.engine.begin() as connection:
        connection.execute(sa.text("create table kept (line text)"))
    with made.connect():
        pass
    yield made
    made.dispose()


def ask(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    fall_silent()  # between two transactions: what hears it first is the pool's ping
    with transaction(engine) as connection:
        connection.execute(sa.text("select 1"))


def ask_in_a_transaction(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    with transaction(engine) as connection:
        fall_silent()
        connection.execute(sa.text("select 1"))


def commit(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    with transaction(engine) as connection:
        connection.execute(sa.text("insert into kept values ('one')"))
        fall_silent()


def roll_back(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    with engines.translated(), engine.connect() as connection:
        connection.execute(sa.text("insert into kept values ('one')"))
        fall_silent()
        connection.rollback()


def copy_lines(engine: sa.Engine, fall_silent: Callable[[], None], lines: int) -> None:
    with (
        transaction(engine) as connection,
        closing(connection.connection.cursor()) as cursor,
    ):
        fall_silent()
        assert isinstance(cursor, psycopg2.extensions.cursor)
        cursor.copy_expert("copy kept from stdin", io.StringIO(MORE_THAN_BUFFERS * lines))


def copy(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    copy_lines(engine, fall_silent, 1)


def copy_more_than_is_buffered(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    copy_lines(engine, fall_silent, 20_000)


def leave_autocommit(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    with engines.translated(), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE)
        driver.autocommit = True  # tells the server the level, and back again when it is left
        fall_silent()
        try:
            driver.autocommit = False
        finally:
            connection.invalidate()


def set_the_isolation(engine: sa.Engine, fall_silent: Callable[[], None]) -> None:
    with engines.translated(), engine.connect() as connection:
        connection.execute(sa.text("select 1"))
        fall_silent()
        try:
            driver: Any = connection.connection.driver_connection
            driver.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        finally:
            connection.invalidate()


@pytest.mark.parametrize(
    "call",
    [
        ask,
        ask_in_a_transaction,
        commit,
        roll_back,
        copy,
        copy_more_than_is_buffered,
        leave_autocommit,
        set_the_isolation,
    ],
)
def test_a_call_that_is_never_answered_ends_as_a_database_out_of_reach(
    engine: sa.Engine, proxy: Proxy, call: Callable[[sa.Engine, Callable[[], None]], None]
) -> None:
    with ThreadPoolExecutor(1) as threads:
        try:
            error = threads.submit(call, engine, proxy.half_open).exception(timeout=20)
        finally:
            proxy.cut()  # a call that waits without end would keep the test, too

    assert isinstance(error, StoreUnavailable)
    proxy.pass_all()
    with transaction(engine) as connection:
        assert connection.scalar(sa.text("select count(*) from kept")) in {0, 1}


def test_a_recording_of_several_raw_answers_ends_as_well(engine: sa.Engine, proxy: Proxy) -> None:
    raws = [a_raw(), a_raw()]

    def record() -> None:
        with transaction(engine) as connection:
            proxy.half_open()
            raw_archive.insert(connection, raws, unfenced=())

    with ThreadPoolExecutor(1) as threads:
        try:
            error = threads.submit(record).exception(timeout=20)
        finally:
            proxy.cut()

    assert isinstance(error, StoreUnavailable)


def test_the_cause_says_that_there_was_no_answer(engine: sa.Engine, proxy: Proxy) -> None:
    with ThreadPoolExecutor(1) as threads:
        try:
            error = threads.submit(ask_in_a_transaction, engine, proxy.half_open).exception(timeout=20)
        finally:
            proxy.cut()

    assert error is not None
    assert "did not answer for 1.5 s" in str(error.__cause__)


REFUSED: dict[str, Callable[[Any], object]] = {
    "executemany": lambda connection: connection.cursor().executemany("select %s", [(1,), (2,)]),
    "callproc": lambda connection: connection.cursor().callproc("now"),
    "copy_from": lambda connection: connection.cursor().copy_from(io.StringIO("x"), "kept"),
    "copy_to": lambda connection: connection.cursor().copy_to(io.StringIO(), "kept"),
    "a server's cursor": lambda connection: connection.cursor("named"),
    "another cursor": lambda connection: connection.cursor(cursor_factory=psycopg2.extensions.cursor),
    "cancel": lambda connection: connection.cancel(),
    "lobject": lambda connection: connection.lobject(),
    "reset": lambda connection: connection.reset(),
    "set_client_encoding": lambda connection: connection.set_client_encoding("LATIN1"),
    "set_session": lambda connection: connection.set_session(readonly=True),
    "tpc_begin": lambda connection: connection.tpc_begin("one"),
    "tpc_commit": lambda connection: connection.tpc_commit("one"),
    "tpc_recover": lambda connection: connection.tpc_recover(),
    "tpc_rollback": lambda connection: connection.tpc_rollback("one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_wait_without_a_deadline_is_refused(engine: sa.Engine, name: str) -> None:
    with (
        engine.connect() as connection,
        pytest.raises(psycopg2.NotSupportedError, match="without a deadline"),
    ):
        REFUSED[name](connection.connection)


def test_connecting_asks_for_nothing_that_has_no_deadline(database: Database) -> None:
    asked: list[str] = []
    with database.engine.begin() as other:
        other.exec_driver_sql(f"alter database {database.name} set datestyle = 'German, DMY'")
    engine = create_engine(database.settings, application="tests-silent")

    def look(connection: Any, _record: object) -> None:
        with database.engine.connect() as other:
            asked.append(
                other.execute(
                    sa.text("select query from pg_stat_activity where pid = :pid"),
                    {"pid": connection.get_backend_pid()},
                ).scalar_one()
            )

    sa.event.listen(engine, "connect", look, insert=True)  # before what the dialect asks, which is bounded
    with engine.connect():
        pass
    engine.dispose()

    assert asked == [""]


def test_calls_keep_no_descriptor(engine: sa.Engine) -> None:
    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    with engine.connect() as connection:
        before = descriptors()
        for _ in range(100):
            connection.execute(sa.text("select 1"))
            connection.commit()
        assert descriptors() < before + 50  # others' threads may have some


def test_a_call_within_its_time_goes_on_where_another_is_ended(
    engine: sa.Engine, proxy: Proxy, database: Database
) -> None:
    def sleep() -> object:
        with transaction(database.engine) as connection:
            return connection.scalar(sa.text("select 'slept' from pg_sleep(3)"))

    def is_asleep() -> bool:
        with database.engine.connect() as connection:
            return bool(connection.scalar(_ASLEEP))

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(sleep)
        eventually(is_asleep, within=20)
        try:
            silent = threads.submit(ask, engine, proxy.half_open).exception(timeout=20)
        finally:
            proxy.cut()

    assert isinstance(silent, StoreUnavailable)
    assert slow.result() == "slept"


def test_a_process_without_descriptors_left_waits_as_for_a_database_out_of_reach(engine: sa.Engine) -> None:
    _, most = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (driver.fileno() + 10, most))
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.dup(driver.fileno()))
            with pytest.raises(StoreUnavailable), engines.translated():
                connection.execute(sa.text("select 1"))
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    with transaction(engine) as connection:
        assert connection.scalar(sa.text("select 1")) == 1


def test_a_migrator_waits_for_another_for_longer_than_any_statement_may(
    engine: sa.Engine, database: Database
) -> None:
    def is_waiting() -> bool:
        return bool(other.scalar(_WAITING))

    with ThreadPoolExecutor(1) as threads, database.engine.connect() as other:
        other.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": schema.MIGRATION_LOCK})
        migrated = threads.submit(schema.migrate, engine)
        eventually(is_waiting, within=20)
        holds(is_waiting, during=3)  # twice what a statement may take
        other.rollback()

        assert migrated.exception(timeout=20) is None
