"""Things going wrong, as context managers: what was broken is mended at the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg2

from support.servers import Database
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


@contextmanager
def read_only(database: Database) -> Iterator[None]:
    """Let the database take no writes, as a demoted primary or one that is out of disk; then again.

    All sessions are cut at its beginning, and none at its end: those made meanwhile stay read-only.
    """
    admin = psycopg2.connect(database.url, options="-c default_transaction_read_only=off")
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            try:
                cursor.execute(f"alter database {database.name} set default_transaction_read_only = on")
                cursor.execute(_CUT_ALL)
                yield
            finally:
                cursor.execute(f"alter database {database.name} reset default_transaction_read_only")
    finally:
        admin.close()
        database.engine.dispose()


_CUT_ALL = """
    select pg_terminate_backend(pid, 10000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""
