"""Children of the development tools: started apart from the terminal, ended for certain.

Each child leads a session of its own, so that Ctrl-C reaches only the tool, which then ends its
children in the order it wants. Ending one returns only when it is gone.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from time import monotonic

import psutil

LOOPBACK = "127.0.0.1"
_KILL_SECONDS = 10.0
_TAIL_BYTES = 64 * 1024
_LINE_LENGTH = 1000

OnSpawn = Callable[[int], None]
"""Told the process id of each child as soon as there is one."""


def unwatched(pid: int) -> None:
    """Ignore the child: for tools that cannot die before their children."""


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now; it may be taken a moment later."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the process still runs.

    One that ended and that nobody reaps, as happens in containers, does not.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Sequence[psutil.Process], *, within: float) -> list[psutil.Process]:
    """Wait for the end of processes that need not be our children, and return those still alive."""
    deadline = monotonic() + within
    pause = Event()
    alive = [process for process in processes if is_alive(process)]
    while alive and monotonic() < deadline:
        pause.wait(0.05)
        alive = [process for process in alive if is_alive(process)]
    return alive


class Child:
    """One running process, with its output appended to a log file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
        piped: bool = False,
        on_spawn: OnSpawn = unwatched,
    ) -> None:
        """Start it; `piped` keeps its standard input and output for the caller instead of the log.

        `user` needs root and takes away every group. Raises OSError if it cannot be executed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                env=None if environ is None else dict(environ),
                user=user,
                group=None if user is None else _group_of(user),
                extra_groups=None if user is None else [],
                cwd=cwd,
                start_new_session=True,
            )
        self.log = log
        on_spawn(self.pid)

    @property
    def pid(self) -> int:
        """Return its process id, which stays its own until `end` has returned."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """Return None while it runs, else its status as `subprocess` gives it."""
        return self._process.poll()

    def read_line(self) -> str:
        """Return the next line of a piped child's output; blocks; empty at its end."""
        if self._process.stdout is None:
            return ""
        return self._process.stdout.readline().decode().strip()

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines that it wrote, each cut at a length that a person reads."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            written = log.read().decode(errors="replace").splitlines()
        return "\n".join(line[:_LINE_LENGTH] for line in written[-lines:])

    def bound_log(self, most: int) -> None:
        """Move what it wrote to a file beside its log, `….before`, once that is over `most` bytes.

        The child holds the log open and appends, so the log is copied and emptied; a line written in
        the instant between the last look and the emptying is lost. What was in `….before` goes.
        """
        try:
            if self.log.stat().st_size <= most:
                return
        except FileNotFoundError:  # removed by a person; the child goes on writing where nobody looks
            return
        with self.log.open("r+b") as log, self.log.with_name(f"{self.log.name}.before").open("wb") as before:
            shutil.copyfileobj(log, before)
            log.truncate(0)
        self._log_start = 0

    def ask_to_end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal, and let the child go on if it is stopped: it could not hear it otherwise."""
        if self.exit_status() is None:
            self._process.send_signal(by)
            self._process.send_signal(signal.SIGCONT)

    def has_ended(self, *, within: float) -> bool:
        """Wait for its end, and tell whether it came."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, *, by: signal.Signals = signal.SIGTERM, within: float = _KILL_SECONDS) -> int:
        """Ask it to end, kill it after `within` seconds, and return its exit status; idempotent."""
        self.ask_to_end(by)
        if not self.has_ended(within=within):
            self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return status

    def release(self) -> None:
        """Close the pipes, wait for the end that this is the sign for, and insist on it if need be."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self.has_ended(within=_KILL_SECONDS)
        self.end()

    def kill(self) -> int:
        """Kill -9, as a crash does."""
        return self.end(by=signal.SIGKILL)


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
