"""What a PostgreSQL that answers, and does not do it now, is to whoever asked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier

import pytest
import sqlalchemy as sa

from marketdata.errors import MarketDataError, StoreRefused, StoreUnavailable
from marketdata.storage.engine import create_engine, is_retryable, transaction
from support.faults import read_only
from support.servers import Database, settings_of
from support.waiting import eventually

_WRITE = sa.text("update schema_state set revision = revision")
_READ = sa.text("select revision from schema_state")


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    made = create_engine(settings_of(database.url, pool_size=3), application="tests-refused")
    yield made
    made.dispose()


def write(engine: sa.Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(_WRITE)


def all_connections(engine: sa.Engine) -> ExitStack:
    """Return the pool's three connections, taken out at once; closing gives them back."""
    taken = ExitStack()
    for _ in range(3):
        taken.enter_context(engine.connect()).execute(_READ)
    return taken


def test_a_database_that_turned_read_only_refuses_writes_for_now_and_answers_reads(
    database: Database, engine: sa.Engine
) -> None:
    with read_only(database):
        with pytest.raises(StoreRefused, match="takes no writes"):
            write(engine)
        with transaction(engine) as connection:
            assert connection.scalar(_READ) == 1
        # The consumer's statements go past SQLAlchemy.
        with (
            pytest.raises(StoreRefused),
            transaction(engine) as connection,
            closing(connection.connection.cursor()) as cursor,
        ):
            cursor.execute(_WRITE.text)


def test_one_refused_write_makes_every_connection_anew(database: Database, engine: sa.Engine) -> None:
    with read_only(database):
        all_connections(engine).close()
        with pytest.raises(StoreRefused):
            write(engine)

    three = Barrier(3, timeout=30)

    def write_beside_others() -> None:
        with transaction(engine) as connection:
            three.wait()
            connection.execute(_WRITE)

    with ThreadPoolExecutor(3) as threads:
        for written in [threads.submit(write_beside_others) for _ in range(3)]:
            written.result()


def test_a_connection_that_is_at_work_while_another_is_refused_ends_its_work(
    database: Database, engine: sa.Engine
) -> None:
    with read_only(database), transaction(engine) as reading:
        assert reading.scalar(_READ) == 1
        with pytest.raises(StoreRefused):
            write(engine)
        assert reading.scalar(_READ) == 1
    write(engine)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("53000", StoreRefused),  # insufficient_resources
        ("53100", StoreRefused),  # disk_full
        ("53200", StoreRefused),  # out_of_memory
        ("58000", StoreRefused),  # system_error
        ("58030", StoreRefused),  # io_error
        ("40001", StoreRefused),  # serialization_failure
        ("40P01", StoreRefused),  # deadlock_detected
        ("08P01", StoreUnavailable),  # protocol_violation, as a pooler says that its server is gone
        ("25P03", StoreUnavailable),  # idle_in_transaction_session_timeout
        ("57P01", StoreUnavailable),  # admin_shutdown
        ("57P03", StoreUnavailable),  # cannot_connect_now
    ],
)
def test_what_the_server_cannot_now_is_transient(
    engine: sa.Engine, state: str, error: type[MarketDataError]
) -> None:
    with pytest.raises(StoreUnavailable) as caught, transaction(engine) as connection:
        connection.exec_driver_sql(_raising(state))

    assert type(caught.value) is error
    assert is_retryable(caught.value) == state.startswith("40")


@pytest.mark.parametrize(
    "state",
    [
        "XX000",  # internal_error
        "XX001",  # data_corrupted
        "58P01",  # undefined_file: that of a relation is gone
        "58P02",  # duplicate_file
        "22021",  # character_not_in_repertoire
        "23514",  # check_violation
        "25P02",  # in_failed_sql_transaction
        "42501",  # insufficient_privilege
    ],
)
def test_what_will_fail_again_is_a_defect_and_passes_through(engine: sa.Engine, state: str) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught, transaction(engine) as connection:
        connection.exec_driver_sql(_raising(state))

    assert not is_retryable(caught.value)


def _raising(state: str) -> str:
    return f"do $$ begin raise exception 'as it says' using errcode = '{state}'; end $$"


def test_a_transaction_that_stood_still_for_too_long_is_transient(
    database: Database, engine: sa.Engine
) -> None:
    mine = sa.text("select count(*) from pg_stat_activity where application_name = 'tests-refused'")

    def is_ended() -> bool:
        with database.engine.begin() as other:
            return not other.scalar(mine)

    def stand_still() -> None:
        with transaction(engine) as connection:
            connection.execute(sa.text("set idle_in_transaction_session_timeout = '10ms'"))
            eventually(is_ended, within=20)
            connection.execute(_READ)

    with pytest.raises(StoreUnavailable):
        stand_still()
    write(engine)
