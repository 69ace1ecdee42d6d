"""The schema is brought up to date once, however many try, and a release that does not fit says so."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pydantic import SecretStr

from marketdata.errors import SchemaMismatch, StoreUnavailable
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine, is_retryable, transaction
from support.ports import free_port
from support.processes import Processes
from support.servers import Database, settings_of


def test_migrating_twice_is_migrating_once(empty_database: Database) -> None:
    schema.migrate(empty_database.engine)
    schema.migrate(empty_database.engine)

    schema.check(empty_database.engine)


def test_migrators_at_the_same_time_wait_for_each_other(empty_database: Database) -> None:
    errors: list[BaseException] = []

    def migrate() -> None:
        engine = create_engine(empty_database.settings, application="migrator")
        try:
            schema.migrate(engine)
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            errors.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    schema.check(empty_database.engine)


def test_a_database_without_a_schema_is_told_what_to_do(empty_database: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"python -m marketdata\.storage migrate"):
        schema.check(empty_database.engine)


@pytest.mark.parametrize(
    ("revision", "oldest", "told"),
    [
        (schema.REVISION - 1, 0, "this release needs"),
        (schema.REVISION + 5, schema.REVISION + 1, "upgrade this process"),
    ],
)
def test_a_release_that_does_not_fit_is_told_why(
    database: Database, revision: int, oldest: int, told: str
) -> None:
    _set_state(database, revision, oldest)

    with pytest.raises(SchemaMismatch, match=told):
        schema.check(database.engine)


def test_a_newer_schema_that_still_serves_this_release_is_fine(database: Database) -> None:
    _set_state(database, schema.REVISION + 5, schema.REVISION)

    schema.check(database.engine)


def test_a_release_that_a_rollback_brought_back_leaves_the_later_schema_as_it_is(database: Database) -> None:
    _set_state(database, schema.REVISION + 5, schema.REVISION)
    with database.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = 'later'"))

    schema.migrate(database.engine)

    schema.check(database.engine)


def test_a_release_that_the_later_schema_serves_no_more_is_told_so_when_it_migrates(
    database: Database,
) -> None:
    _set_state(database, schema.REVISION + 5, schema.REVISION + 1)

    with pytest.raises(SchemaMismatch, match="upgrade this process"):
        schema.migrate(database.engine)


def _set_state(database: Database, revision: int, oldest: int) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("update schema_state set revision = :revision, min_compatible = :oldest"),
            {"revision": revision, "oldest": oldest},
        )


def test_the_migration_s_session_settings_do_not_reach_the_pool(empty_database: Database) -> None:
    schema.migrate(empty_database.engine)

    with empty_database.engine.connect() as connection:
        assert connection.scalar(sa.text("show statement_timeout")) == "10s"


def test_a_migration_that_fails_says_why_and_lets_the_next_begin(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Config, revision: str) -> None:
        config.attributes["connection"].exec_driver_sql(f"select broken from {revision}")

    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", fail)
        with pytest.raises(sa.exc.ProgrammingError, match="head"):
            schema.migrate(empty_database.engine)
    with empty_database.engine.connect() as connection:
        assert connection.scalar(sa.text("show statement_timeout")) == "10s"

    other = create_engine(empty_database.settings, application="migrator")
    schema.migrate(other)  # in a session of its own, for which the lock must be free
    other.dispose()


def test_the_command_migrates_and_checks(empty_database: Database, processes: Processes) -> None:
    env = {"DATABASE_URL": empty_database.url}

    unmigrated = processes.start("marketdata.storage", "check", env=env)
    assert unmigrated.wait() == 1
    assert "no schema yet" in unmigrated.output()

    for word in ("migrate", "check"):
        done = processes.start("marketdata.storage", word, env=env)
        assert done.wait() == 0, done.output()


def test_the_command_without_an_address_ends_with_one_sentence(processes: Processes) -> None:
    done = processes.start("marketdata.storage", "migrate", env={})

    assert done.wait() in {1, 2}
    assert len(done.output().splitlines()) == 1
    assert "DATABASE_URL" in done.output()


def test_a_database_out_of_reach_is_transient() -> None:
    engine = create_engine(
        settings_of(f"postgresql://nobody@127.0.0.1:{free_port()}/none"), application="tests"
    )

    with pytest.raises(StoreUnavailable), transaction(engine):
        pass  # pragma: no cover - never connected
    engine.dispose()


def test_an_exhausted_pool_is_transient(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(settings_of(database.url, pool_size=1), application="tests")
    # By settings it is as long as the first connection may take to begin, too.
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)

    with engine.connect(), pytest.raises(StoreUnavailable, match="free in time"), transaction(engine):
        pass  # pragma: no cover - never connected
    engine.dispose()


def test_a_statement_that_takes_too_long_is_transient(database: Database) -> None:
    settings = PostgresSettings(url=SecretStr(database.url), statement_timeout_seconds=0.1)
    engine = create_engine(settings, application="tests")

    with pytest.raises(StoreUnavailable), transaction(engine) as connection:
        connection.execute(sa.text("select pg_sleep(5)"))
    engine.dispose()


def test_a_wrong_statement_is_a_defect_and_passes_through(database: Database) -> None:
    with pytest.raises(sa.exc.ProgrammingError), transaction(database.engine) as connection:
        connection.execute(sa.text("select nothing from nowhere"))


def test_a_serialization_failure_asks_for_the_transaction_again(database: Database) -> None:
    with database.engine.connect() as one, database.engine.connect() as other:
        for connection in (one, other):
            connection.execute(sa.text("set transaction isolation level repeatable read"))
            connection.execute(sa.text("select * from schema_state"))
        one.execute(sa.text("update schema_state set revision = revision"))
        one.commit()

        with pytest.raises(sa.exc.OperationalError) as caught:
            other.execute(sa.text("update schema_state set revision = revision"))

    assert is_retryable(caught.value)
    assert not is_retryable(ValueError())


def test_the_statements_beside_the_migration_are_all_there_is(database: Database) -> None:
    folder = Path(schema.__file__).parent / "migrations" / "versions"

    for migration in folder.glob("*.py"):
        assert migration.with_suffix(".sql").exists()
