"""Bringing the schema up to date, and telling whether this release fits it.

Migrations only expand; what a release no longer needs is dropped a release later. The database
says its revision and the oldest code it still serves; code runs when
min_compatible ≤ its own revision ≤ the database's revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from marketdata.errors import SchemaMismatch
from marketdata.storage.engine import transaction, translated, unbounded

REVISION = 1

# One migrator at a time in the whole database; the number is "mktdata" in ASCII, read as an integer.
MIGRATION_LOCK = int.from_bytes(b"mktdata", "big")


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to this release's revision; idempotent; waits for another migrator, without limit.

    A schema of a later release stays as it is: this release is then the one that a rollback brought
    back. Raises StoreUnavailable, SchemaMismatch where that schema no longer serves this release.
    Dying midway leaves the old schema: each migration is one transaction.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with translated(), engine.connect() as connection:
        try:
            unbounded(connection)
            connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
            state = _state(connection)
            connection.commit()
            if state is not None and state[0] > REVISION:
                _refuse_if_too_new(state[1])
                return
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            # Its settings must not reach the pool; with the session goes its lock.
            connection.invalidate()


def check(engine: sa.Engine) -> None:
    """Return if this release may run on the database's schema.

    Raises SchemaMismatch with what to do, StoreUnavailable if the database is out of reach.
    """
    with transaction(engine) as connection:
        state = _state(connection)
    if state is None:
        raise SchemaMismatch("the database has no schema yet; run `python -m marketdata.storage migrate`")
    revision, oldest = state
    if revision < REVISION:
        raise SchemaMismatch(
            f"the database is at revision {revision} and this release needs {REVISION}; "
            "run `python -m marketdata.storage migrate`"
        )
    _refuse_if_too_new(oldest)


def _state(connection: sa.Connection) -> tuple[int, int] | None:
    """Return the database's revision and the oldest it serves, None where there is no schema."""
    if not connection.scalar(sa.text("select to_regclass('schema_state') is not null")):
        return None
    revision, oldest = connection.execute(sa.text("select revision, min_compatible from schema_state")).one()
    return revision, oldest


def _refuse_if_too_new(oldest: int) -> None:
    if oldest > REVISION:
        raise SchemaMismatch(
            f"the database serves releases from revision {oldest} on and this one is {REVISION}; "
            "upgrade this process"
        )
