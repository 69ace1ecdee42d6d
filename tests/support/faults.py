"""Things going wrong, as context managers: what was broken is mended at the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from support.waiting import eventually


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop the process and all its children (SIGSTOP), as a hung machine does; then let them go on."""
    parent = psutil.Process(pid)
    family = [parent]
    try:
        stand_still(parent)
        family += parent.children(recursive=True)  # all there will be: who stands still starts nobody
        for child in family[1:]:
            stand_still(child)
        yield
    finally:
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.resume()


def stand_still(process: psutil.Process) -> None:
    """Stop the process (SIGSTOP), and return when it does not run any more."""
    with suppress(psutil.NoSuchProcess):
        process.suspend()
        eventually(
            lambda: process.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}, within=10, every=0.001
        )


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)
