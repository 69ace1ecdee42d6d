"""A deadline for each round trip to Postgres, kept on this side.

Statement timeouts are the server's to keep, so they end nothing where the server, or a proxy before it,
falls silent: libpq waits in poll(2) for as long as such a peer acknowledges what it is sent, in C, where
no exception reaches it. So a thread shuts the socket of a call that is overdue, and libpq finds that
connection lost like any other. psycopg2's own way, a wait callback, does not bear COPY (its
documentation, "Support for coroutine libraries").
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NoReturn, cast

import psycopg2
from psycopg2 import extensions

_LOOK_SECONDS = 0.25
_AUTOCOMMIT: Any = vars(extensions.connection)["autocommit"]  # psycopg2's own descriptor


class _Watch:
    """The calls under way in this process, and the thread that ends those that are overdue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[int, float] = {}  # of monotonic time, by a descriptor of the call's own
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread where there is none; idempotent."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="postgres-deadlines", daemon=True)
                self._thread.start()

    @contextmanager
    def over(self, connection: "BoundedConnection") -> Iterator[None]:
        """Bound what is done inside; raises OperationalError where it was ended."""
        seconds = connection.round_trip_seconds
        descriptor = connection.fileno() if seconds is not None else -1
        if seconds is None or descriptor < 0:  # of a connection that libpq has given up, and says so at once
            yield
            return
        # Another descriptor of the same socket: libpq may close its own while the call still lasts, and
        # the number is then somebody else's.
        try:
            own = os.dup(descriptor)
        except OSError as error:  # none is left: as for a connection that could not be made
            raise psycopg2.OperationalError(f"no descriptor for the call's deadline: {error}") from error
        with self._lock:
            self._deadlines[own] = monotonic() + seconds
        try:
            yield
        except psycopg2.OperationalError as error:
            with self._lock:
                is_ended = own not in self._deadlines
            if is_ended:
                raise psycopg2.OperationalError(f"Postgres did not answer for {seconds:g} s") from error
            raise
        finally:
            with self._lock:
                self._deadlines.pop(own, None)
            os.close(own)

    def _run(self) -> None:
        never = threading.Event()
        while True:
            never.wait(_LOOK_SECONDS)
            with self._lock:  # until they are shut: no call gives its descriptor back meanwhile
                now = monotonic()
                for own in [own for own, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[own]
                    _shut(own)


_watch = _Watch()


def _shut(descriptor: int) -> None:
    with suppress(OSError):  # the peer was first
        other = socket.socket(fileno=descriptor)
        try:
            other.shutdown(socket.SHUT_RDWR)
        finally:
            other.detach()


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise psycopg2.NotSupportedError(f"{name} would wait for Postgres without a deadline")

    return refuse


class BoundedConnection(extensions.connection):
    """A connection whose calls end in OperationalError where they last for `round_trip_seconds`.

    None, as it is at first, is no limit. It holds for one call of one statement, not for a transaction.
    Bounded are the calls that this library and SQLAlchemy make; the other methods that wait for an answer
    raise NotSupportedError.
    """

    round_trip_seconds: float | None = None
    cancel = _refused("cancel")
    lobject = _refused("lobject")
    reset = _refused("reset")
    set_client_encoding = _refused("set_client_encoding")
    set_session = _refused("set_session")
    tpc_begin = _refused("tpc_begin")
    tpc_commit = _refused("tpc_commit")
    tpc_recover = _refused("tpc_recover")
    tpc_rollback = _refused("tpc_rollback")

    @property
    def autocommit(self) -> bool:
        """Whether statements are no transaction; setting it may be a round trip of its own."""
        return bool(super().autocommit)

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        with _watch.over(self):
            _AUTOCOMMIT.__set__(self, value)

    def set_isolation_level(self, level: int | None) -> None:
        with _watch.over(self):
            super().set_isolation_level(level)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor; raises NotSupportedError where another kind is asked for."""
        if args or kwargs:
            raise psycopg2.NotSupportedError("a cursor of another kind would wait without a deadline")
        return super().cursor()

    def commit(self) -> None:
        with _watch.over(self):
            super().commit()

    def rollback(self) -> None:
        with _watch.over(self):
            super().rollback()


class BoundedCursor(extensions.cursor):
    """A cursor of such a connection."""

    executemany = _refused("executemany")  # a round trip for each: one deadline for all would be wrong
    callproc = _refused("callproc")
    copy_from = _refused("copy_from")
    copy_to = _refused("copy_to")

    def execute(self, *args: Any, **kwargs: Any) -> None:
        with _watch.over(cast("BoundedConnection", self.connection)):
            super().execute(*args, **kwargs)

    def copy_expert(self, *args: Any, **kwargs: Any) -> None:
        with _watch.over(cast("BoundedConnection", self.connection)):
            super().copy_expert(*args, **kwargs)


def bound(connection: BoundedConnection, seconds: float) -> BoundedConnection:
    """Return the connection, with `seconds` for each answer from here on."""
    _watch.start()
    connection.round_trip_seconds = seconds
    return connection
