"""One user of a folder at a time, by a lock that the kernel lets go when its holder dies."""

import fcntl
import os
from pathlib import Path


class FolderLock:
    """An exclusive lock on a file of the folder; the file stays, only its lock matters."""

    def __init__(self, path: Path) -> None:
        """`path` is made when the lock is taken; its folder must be there by then."""
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Tell whether the lock is ours now; never waits. Taking it twice is a defect."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let it go; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
