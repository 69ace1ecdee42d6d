"""Everything the launcher started: watched while it runs, ended in order.

Services end before the servers they use, one after the other, each with its grace; once
the end is urgent, nobody is waited for.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from marketdata_tools.embedded.process import Child, OnSpawn
from marketdata_tools.run.stopping import Stopping

_LOG_BYTES = 16 * 1024 * 1024
_GRACE_SECONDS = 25.0  # over the services' own: each of them ends itself within 20 s


class Server(Protocol):
    """An embedded server that runs."""

    @property
    def child(self) -> Child:
        """Return its process."""

    def stop(self) -> None:
        """Stop it cleanly and wait for that."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """A part that ended though nobody asked it to."""

    name: str
    status: int
    log: Path
    last_words: str


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    child: Child
    end: Callable[[], object]


class Crew:
    """The running parts."""

    def __init__(self, *, logs: Path, on_spawn: OnSpawn, stopping: Stopping) -> None:
        """Begin empty; `logs` is where each service gets a file."""
        self._logs = logs
        self._on_spawn = on_spawn
        self._stopping = stopping
        self._services: list[_Part] = []
        self._servers: list[_Part] = []

    def start_service(self, name: str, module: str, *arguments: str, environ: Mapping[str, str]) -> None:
        """Start `python -m module`; returns at once."""
        child = Child(
            [sys.executable, "-m", module, *arguments],
            log=self._logs / f"{name}.log",
            environ=environ,
            on_spawn=self._on_spawn,
        )
        self._services.append(_Part(name, child, lambda: self._end(child)))

    def add_server(self, name: str, server: Server) -> None:
        """Take over a server that runs; it is stopped after all services, the last added first."""
        self._servers.append(_Part(name, server.child, server.stop))

    def fallen(self) -> Fallen | None:
        """Return the first part that ended on its own, a server before the services that miss it."""
        for part in (*self._servers, *self._services):
            status = part.child.exit_status()
            if status is not None:
                return Fallen(part.name, status, part.child.log, part.child.log_tail(lines=12))
        return None

    def bound_logs(self) -> None:
        """Keep each log at 16 MB and as much of what was before, however long the run."""
        for part in (*self._servers, *self._services):
            part.child.bound_log(_LOG_BYTES)

    def end(self) -> None:
        """End everything and wait for it; idempotent."""
        while self._services:
            self._services[0].end()
            self._services.pop(0)
        while self._servers:
            self._servers[-1].end()
            self._servers.pop()

    def _end(self, child: Child) -> None:
        child.ask_to_end()
        deadline = monotonic() + _GRACE_SECONDS
        while not child.has_ended(within=0.1):
            if self._stopping.is_urgent or monotonic() > deadline:
                child.kill()
        child.end()
