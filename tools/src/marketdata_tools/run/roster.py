"""The list of processes a launcher started, so that none outlives it.

One file for each launcher, a line for each child: process id and start time, which together name a
process for ever. A launcher that ends in order removes its file. One that was killed leaves it, and
then either its guardian or the next launcher ends what is listed.
"""

import signal
from pathlib import Path

import psutil

from marketdata_tools.embedded.process import is_alive, wait_until_gone

_PATIENCE_SECONDS = 10.0


class Roster:
    """The processes of one launcher."""

    def __init__(self, path: Path) -> None:
        """`path` is made at the first entry."""
        self.path = path

    def add(self, pid: int) -> None:
        """Write down a child that was just started."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        with self.path.open("a") as file:
            file.write(f"{pid} {started!r}\n")

    def remove(self) -> None:
        """Forget all of them; idempotent."""
        self.path.unlink(missing_ok=True)

    def running(self) -> list[psutil.Process]:
        """Return those that still run, the last one started first."""
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        found = (_process(line) for line in reversed(lines))
        return [process for process in found if process is not None]

    def end_all(self) -> None:
        """End those that still run, the services before the servers they use, and remove the file."""
        running = self.running()
        # PostgreSQL waits for its clients on SIGTERM, and no longer on SIGINT.
        for by in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            for process in running:
                _signal(process, by)
            running = wait_until_gone(running, within=_PATIENCE_SECONDS)
        self.remove()


def end_leftovers(folder: Path) -> None:
    """End what killed launchers of this folder left behind.

    The caller holds the folder's lock, or knows that no launcher runs on it.
    """
    for path in folder.glob("processes-*"):
        Roster(path).end_all()


def roster_of(folder: Path, launcher_pid: int) -> Roster:
    """Return the roster of a launcher that runs on `folder`."""
    return Roster(folder / f"processes-{launcher_pid}")


def _process(line: str) -> psutil.Process | None:
    pid, _, started = line.partition(" ")
    try:
        process = psutil.Process(int(pid))
        # The start time is kept in clock ticks; a reused number is seconds apart.
        is_same = abs(process.create_time() - float(started)) < 1.0
        return process if is_same and is_alive(process) else None
    except (ValueError, psutil.NoSuchProcess):
        return None


def _signal(process: psutil.Process, by: signal.Signals) -> None:
    try:
        process.send_signal(by)
        process.resume()
    except psutil.NoSuchProcess:
        pass
