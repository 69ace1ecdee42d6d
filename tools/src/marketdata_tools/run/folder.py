"""The folder of a run: made, writable, with room, and this run's alone.

Whatever is wrong with it is told in one sentence before anything is started.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marketdata_tools.embedded.lock import FolderLock
from marketdata_tools.run.screen import shown_path

# What the first hour writes at least: a new database takes 43 MB, its log of changes grows by 16 MB at
# a time, and the logs of a run begin. Full later, a disk ends the run with the database's own words.
_ROOM_BYTES = 128_000_000


class CannotRun(Exception):
    """Something outside this program is in the way; the message is one sentence for the user."""


def make(data_dir: Path, *, logs: Path) -> None:
    """Make both folders, and find out that files can be made in them; idempotent."""
    with _told(data_dir):
        logs.mkdir(parents=True, exist_ok=True)
        for place in (data_dir, logs):
            with tempfile.TemporaryFile(dir=place):
                pass
        free = free_bytes(data_dir)
    if free < _ROOM_BYTES:
        raise _refusal(data_dir, f"it has {_megabytes(free)} free, and a run needs {_megabytes(_ROOM_BYTES)}")


def lock(data_dir: Path) -> FolderLock:
    """Return the lock of the folder, taken."""
    taken = FolderLock(data_dir / "lock")
    with _told(data_dir):
        is_ours = taken.take()
    if not is_ours:
        message = f"another `make run` uses {shown_path(data_dir)}; end it, or give another DATA_DIR"
        raise CannotRun(message)
    return taken


def free_bytes(place: Path) -> int:
    """Return how much can still be written there."""
    return shutil.disk_usage(place).free


@contextmanager
def _told(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refusal(data_dir, error.strerror or str(error)) from None


def _refusal(data_dir: Path, fault: str) -> CannotRun:
    return CannotRun(f"folder {shown_path(data_dir)} cannot be used: {fault}; choose another with DATA_DIR=")


def _megabytes(count: int) -> str:
    return f"{count // 1_000_000} MB"
