"""Connections to Postgres, and the one place where its errors become ours.

Every wait but a migration's is bounded, by default below the processes' liveness limits: for a
connection, for an answer, also where its peer falls silent, and the server's own for a statement, a lock
and an idle transaction.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import psycopg2
import sqlalchemy as sa
from psycopg2 import errorcodes
from psycopg2.extensions import parse_dsn
from psycopg2.extras import register_uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from marketdata.errors import Misconfigured, StoreRefused, StoreTimeout, StoreUnavailable
from marketdata.settings import PostgresSettings
from marketdata.storage.round_trips import BoundedConnection, BoundedCursor, bound

# Classes and states are those of PostgreSQL's documentation, appendix A. Not here, because to try again
# would be to retry a defect for ever: class XX, internal errors and corrupted data.
_AWAY = frozenset({"08", "28", "3D", "57"})
# The server ended the session, so that whatever is done next meets no server.
_ENDED = frozenset({errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT})
# Insufficient resources, such as a full disk.
_LACKING = frozenset({"53"})
# What is outside PostgreSQL and may pass; of the same class, the missing file of a table (58P01) stays so.
_OUTSIDE = frozenset({errorcodes.SYSTEM_ERROR, errorcodes.IO_ERROR})
# Above what the relay may take to publish with rows claimed, however short statements are to be.
_IDLE_SECONDS_AT_LEAST = 30.0
# An answer may come as much later than the server ends the statement before it is missed here.
ANSWER_MARGIN_SECONDS = 5.0
Result = TypeVar("Result")

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
    timeout_ms = max(1, int(settings.statement_timeout_seconds * 1000))  # 0 would be no limit
    idle_ms = max(timeout_ms * 2, int(_IDLE_SECONDS_AT_LEAST * 1000))

    def connect() -> BoundedConnection:
        connection = psycopg2.connect(
            settings.dsn(),
            connection_factory=BoundedConnection,
            cursor_factory=BoundedCursor,
            application_name=application,
            connect_timeout=settings.connect_timeout_seconds,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=timeout_ms,
            options=(
                f"-c statement_timeout={timeout_ms}"
                f" -c idle_in_transaction_session_timeout={idle_ms}"
                # Where the server's dates were another, psycopg2 would ask for these, without a deadline.
                f" -c lock_timeout={timeout_ms} -c timezone=UTC -c datestyle=ISO"
            ),
        )
        return bound(connection, timeout_ms / 1000 + ANSWER_MARGIN_SECONDS)

    return sa.create_engine(
        "postgresql+psycopg2://",
        creator=connect,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.connect_timeout_seconds,
        pool_pre_ping=True,
        pool_use_lifo=True,
        use_native_hstore=False,  # nobody stores one, and psycopg2 asks each connection for its type
    )


def unbounded(connection: sa.Connection) -> None:
    """Let statements and locks of this connection take as long as they need; it must not reach the pool."""
    connection.execute(sa.text("set statement_timeout = 0; set lock_timeout = 0"))
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    driver.round_trip_seconds = None


@contextmanager
def translated() -> Iterator[None]:
    """Turn what another try may mend into StoreUnavailable and its kinds.

    A lost or refused connection is StoreUnavailable itself; a timeout and a full pool are StoreTimeout;
    a server that takes no writes, lacks room or gave the transaction up for another is StoreRefused.
    Errors that speak of the statement itself pass through: they are defects.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreTimeout("no database connection became free in time") from error
    except DBAPIError as error:
        raise _of(error) from error
    except psycopg2.Error as error:
        raise _of(error) from error


def _of(error: DBAPIError | psycopg2.Error) -> BaseException:
    state = _state(error)
    # The first is of class 57, as a shutdown is, and yet the server is there.
    if state in {errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE}:
        return StoreTimeout("the statement did not end in time")
    if state == errorcodes.READ_ONLY_SQL_TRANSACTION:
        return StoreRefused("the database takes no writes now")
    if state in RETRYABLE:
        return StoreRefused("the database gave the transaction up for another")
    if state is not None and (state[:2] in _LACKING or state in _OUTSIDE):
        return StoreRefused(f"the database lacks what it needs now (SQLSTATE {state})")
    original = error.orig if isinstance(error, DBAPIError) else error
    gone = isinstance(original, psycopg2.OperationalError | psycopg2.InterfaceError)
    if (state is None and gone) or state in _ENDED or (state is not None and state[:2] in _AWAY):
        return StoreUnavailable("the database cannot be reached")
    return error


class Consent:
    """Whether work may still commit: asked right before it does, withdrawn by whoever waited for it.

    Safe to use from several threads, for one piece of work.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._is_withdrawn = False

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; its transactions commit with this consent only."""
        before = _consent.set(self)
        try:
            return work()
        finally:
            _consent.reset(before)

    def take(self) -> None:
        """Go on to the commit; raises StoreTimeout where nobody waits for it any more."""
        with self._lock:
            if self._is_withdrawn:
                raise StoreTimeout("nobody waits for this any more")
            self._is_taken = True

    def withdraw(self) -> bool:
        """Refuse each commit that has not begun; False where one has, and may have been done."""
        with self._lock:
            self._is_withdrawn = True
            return not self._is_taken


_consent: ContextVar[Consent | None] = ContextVar("consent", default=None)


def consent() -> None:
    """Take the consent that this thread's work runs with, if any; raises StoreTimeout."""
    if (given := _consent.get()) is not None:
        given.take()


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that commits at the end and rolls back on any error.

    Raises StoreTimeout, and rolls back, where the Consent it runs with was withdrawn. Raises
    StoreUnavailable where the database is out of reach; whether a commit whose answer was lost took
    place is then unknown, and the caller's work must bear being done again. Where the database is
    read-only, all connections are made anew: after a failover they lead to the new primary.
    """
    with translated():
        try:
            with engine.begin() as connection:
                yield connection
                consent()
        except (DBAPIError, psycopg2.Error) as error:
            if _state(error) == errorcodes.READ_ONLY_SQL_TRANSACTION:
                # Those at work end their work first. The ping finds nothing: such a server answers it.
                engine.dispose()
            raise


def is_retryable(error: BaseException) -> bool:
    """Tell whether a whole transaction should be run again: a deadlock or serialization failure."""
    return _state(error) in RETRYABLE


def _state(error: BaseException) -> str | None:
    """Return the SQLSTATE that an error of ours, of SQLAlchemy or of psycopg2 stands for."""
    cause = error.__cause__ or error
    state: str | None = getattr(getattr(cause, "orig", cause), "pgcode", None)
    return state
