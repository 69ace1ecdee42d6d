"""Connections to Postgres, and the one place where its errors become ours.

Every connection is bounded: connecting, a silent peer, a statement and an idle transaction each
have a limit below the processes' liveness limits, so that a dead or half-open Postgres is
noticed and never waited on for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import sqlalchemy as sa
from psycopg2 import errorcodes
from psycopg2.extensions import parse_dsn
from psycopg2.extras import register_uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from marketdata.errors import Misconfigured, StoreTimeout, StoreUnavailable
from marketdata.settings import PostgresSettings

_CONNECTION_STATES = frozenset({"08", "57", "53", "3D", "28"})
# Above what the relay may take to publish with rows claimed, however short statements are to be.
_IDLE_SECONDS_AT_LEAST = 30.0
RETRYABLE = frozenset({errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED})


def create_engine(settings: PostgresSettings, *, application: str) -> sa.Engine:
    """Return an engine whose connections are made lazily and know their limits.

    `application` shows in pg_stat_activity. Never blocks. Raises Misconfigured for an address that
    libpq would refuse, as its refusal at each connection would repeat a password with a stray `%`.
    """
    if settings.url is not None:
        try:
            parse_dsn(settings.dsn())
        except psycopg2.ProgrammingError:
            raise Misconfigured(
                "DATABASE_URL is not of the form postgresql://USER:PASSWORD@HOST:PORT/NAME: libpq refuses "
                "it, as it takes a special character in a password as %XX, and its own parameters only"
            ) from None
    register_uuid()  # type: ignore[no-untyped-call]  # the stub's own gap
    timeout_ms = int(settings.statement_timeout_seconds * 1000)
    idle_ms = max(timeout_ms * 2, int(_IDLE_SECONDS_AT_LEAST * 1000))

    def connect() -> psycopg2.extensions.connection:
        return psycopg2.connect(
            settings.dsn(),
            application_name=application,
            connect_timeout=settings.connect_timeout_seconds,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=timeout_ms,
            options=(
                f"-c statement_timeout={timeout_ms}"
                f" -c idle_in_transaction_session_timeout={idle_ms}"
                f" -c lock_timeout={timeout_ms} -c timezone=UTC"
            ),
        )

    return sa.create_engine(
        "postgresql+psycopg2://",
        creator=connect,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.connect_timeout_seconds,
        pool_pre_ping=True,
        pool_use_lifo=True,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn a lost or refused connection into StoreUnavailable, a timeout and a full pool into StoreTimeout.

    Errors that speak of the statement itself pass through: they are defects.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreTimeout("no database connection became free in time") from error
    except DBAPIError as error:
        raise _of(error.orig, error) from error
    except psycopg2.Error as error:
        raise _of(error, error) from error


def _of(original: BaseException | None, fallback: BaseException) -> BaseException:
    state = getattr(original, "pgcode", None)
    # The first is of class 57, as a shutdown is, and yet the server is there.
    if state in {errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE}:
        return StoreTimeout("the statement did not end in time")
    gone = isinstance(original, psycopg2.OperationalError | psycopg2.InterfaceError)
    if (state is None and gone) or (state is not None and state[:2] in _CONNECTION_STATES):
        return StoreUnavailable("the database cannot be reached")
    return fallback


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that commits at the end and rolls back on any error.

    Raises StoreUnavailable where the database is out of reach; whether a commit whose answer was
    lost took place is then unknown, and the caller's work must bear being done again.
    """
    with translated(), engine.begin() as connection:
        yield connection


def is_retryable(error: BaseException) -> bool:
    """Tell whether a whole transaction should be run again: a deadlock or serialization failure."""
    original = getattr(error, "orig", error)
    return getattr(original, "pgcode", None) in RETRYABLE
