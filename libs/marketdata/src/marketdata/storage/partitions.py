"""Daily partitions: made ahead, mended when missing, dropped when old.

Dropping a day is one catalogue change where deleting its rows would be millions. Promises: a day of
the outbox goes only when every row of it is settled; `retention` says from when on answers exist;
neither making nor dropping blocks readers or writers for longer than LOCK_TIMEOUT.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from threading import Event
from time import monotonic

import sqlalchemy as sa

from marketdata.errors import StoreTimeout
from marketdata.identifiers import lower_bound
from marketdata.storage.engine import transaction, translated

# Which column type bounds the days of a table.
_BY_UUID = frozenset({"raw_market_data", "outbox"})
PARTITIONED = ("raw_market_data", "outbox", "polls")

LOCK_TIMEOUT = "2s"
_PATIENCE_SECONDS = 10.0  # as long as a statement may take by default; who finalizes waits LOCK_TIMEOUT
_LOOK_SECONDS = 0.05
_LOCK = sa.text("select pg_try_advisory_xact_lock(hashtext('partitions'))")
_NOBODY_DROPS = sa.text("select pg_try_advisory_xact_lock(hashtext('partitions dropped'))")
_DROPPING = sa.text("select pg_try_advisory_lock(hashtext('partitions dropped'))")
_DROPPED = sa.text("select pg_advisory_unlock(hashtext('partitions dropped'))")
_NO_PARTITION = "23514"  # check_violation: "no partition of relation … found for row"


@dataclass(frozen=True, slots=True)
class Retention:
    """How many whole days of each table are kept."""

    raw_market_data: int
    outbox: int
    polls: int

    def days(self, table: str) -> int:
        return int(getattr(self, table))


class PostgresPartitions:
    """The partitions of the three tables that grow with time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def today(self) -> date:
        """Return the database's day, UTC."""
        with transaction(self._engine) as connection:
            now: datetime = connection.execute(sa.text("select now()")).scalar_one()
        return now.astimezone(UTC).date()

    def ensure(self, days: Iterable[date], *, tables: Iterable[str] = PARTITIONED) -> int:
        """Make the partitions of `days` that are missing; return how many were; idempotent.

        A table is made apart and attached, because that, unlike PARTITION OF, blocks no writer. One that
        a drop left detached is attached again: housekeeping takes it up again when it comes to it.
        Raises StoreTimeout where another process drops for long, and where a day is to be attached of
        which the detaching was left midway, and anybody has been reading for longer than LOCK_TIMEOUT,
        whatever it is: the days before it are made, and the next call goes on.
        """
        made = 0
        wanted = set(product(tables, days))  # each may be an iterator
        with transaction(self._engine) as connection:
            existing = set(connection.scalars(_PARTITIONS))
        for table, day in sorted(wanted):
            name = partition_name(table, day)
            if name in existing:
                continue
            with transaction(self._engine) as connection:
                _take(connection, _LOCK)
                made += _make(connection, table, name, day)
        return made

    def drop_old(self, retention: Retention) -> list[str]:
        """Drop what is older than `retention` says and may go; return the partitions' names.

        If this process dies between detaching and dropping, the next call finishes it; so it does
        where StoreTimeout is raised, as somebody reads a partition for longer than LOCK_TIMEOUT. One
        process drops at a time: returns nothing where another does just now.
        """
        today = self.today()
        dropped = []
        with translated(), self._engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            try:
                if not connection.scalar(_DROPPING):
                    return []
                connection.exec_driver_sql(f"set lock_timeout = '{LOCK_TIMEOUT}'")
                for name, state in connection.execute(_STATES).all():
                    table, day = _parse(name)
                    is_old = day < today - timedelta(days=retention.days(table))
                    if is_old and _drop(connection, table, name, day, state):
                        dropped.append(name)
            finally:
                # Of a closed connection the server lets go when it notices: the next call would find the
                # lock taken and drop nothing.
                if not plain.invalidated:
                    with suppress(sa.exc.SQLAlchemyError):
                        connection.execute(_DROPPED)
                plain.invalidate()  # neither its lock nor its lock_timeout may reach the pool
        return dropped


def _take(connection: sa.Connection, lock: sa.TextClause) -> None:
    """Wait for a lock until the end of the transaction; raises StoreTimeout.

    Asks again and again, because a statement that waits holds a snapshot: whoever has the lock and
    finalizes a detaching would wait for it in turn.
    """
    until = monotonic() + _PATIENCE_SECONDS
    while not connection.scalar(lock):
        if monotonic() >= until:
            raise StoreTimeout("another process makes or drops partitions for long")
        Event().wait(_LOOK_SECONDS)


def _make(connection: sa.Connection, table: str, name: str, day: date) -> bool:
    """Make the partition of a day, or attach what there is of it; False where it is one already."""
    state = connection.scalar(_STATE, {"name": name})
    if state in {"pending", "detached"}:
        # Not between another's last look at the day and the end of its table, with what we write then.
        _take(connection, _NOBODY_DROPS)
        state = connection.scalar(_STATE, {"name": name})
    if state == "attached":
        return False
    if state is None:
        connection.exec_driver_sql(f"create table {name} (like {table} including all)")
    elif state == "pending":
        # It waits for all older snapshots of the database, and others wait for our locks meanwhile.
        connection.exec_driver_sql(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        connection.exec_driver_sql(f"alter table {table} detach partition {name} finalize")
    _attach(connection, table, name, day)
    return True


def _attach(connection: sa.Connection, table: str, name: str, day: date) -> None:
    lower, upper = bounds(table, day)
    connection.exec_driver_sql(
        f"alter table {table} attach partition {name} for values from ('{lower}') to ('{upper}')"
    )


def _drop(connection: sa.Connection, table: str, name: str, day: date, state: str) -> bool:
    """Drop a partition unless an event of it is open; return whether it went.

    A replay may open an event between a look and the drop. Detaching waits for those under way, and
    later ones find nothing to open: what the look after it says holds, and a day with an open event is
    attached again.
    """
    if state == "attached" and _has_open(connection, table, name):
        return False
    connection.execute(_RETENTION, {"relation": table, "before": _midnight(day + timedelta(days=1))})
    if state != "detached":
        mode = "finalize" if state == "pending" else "concurrently"
        connection.exec_driver_sql(f"alter table {table} detach partition {name} {mode}")
    if _has_open(connection, table, name):
        _attach(connection, table, name, day)
        return False
    connection.exec_driver_sql(f"drop table {name}")
    return True


def _has_open(connection: sa.Connection, table: str, name: str) -> bool:
    if table != "outbox":
        return False
    found = connection.exec_driver_sql(f"select exists (select from {name} where settled_at is null)")
    return bool(found.scalar_one())


_PARTITIONS = sa.text("""
    select child.relname from pg_inherits
    join pg_class as child on child.oid = inhrelid
    join pg_class as parent on parent.oid = inhparent
    where not inhdetachpending and parent.oid = any(array[
      cast('raw_market_data' as regclass), cast('outbox' as regclass), cast('polls' as regclass)])
""")
_STATE = sa.text("""
    select case when inhrelid is null then 'detached' when inhdetachpending then 'pending' else 'attached' end
    from pg_class as child left join pg_inherits on inhrelid = child.oid where child.oid = to_regclass(:name)
""")
# A drop that ended midway leaves a table that is being detached, or is detached.
_STATES = sa.text(r"""
    select child.relname, case when inhdetachpending then 'pending' else 'attached' end as state
    from pg_inherits
    join pg_class as child on child.oid = inhrelid
    where inhparent = any(array[
      cast('raw_market_data' as regclass), cast('outbox' as regclass), cast('polls' as regclass)])
    union all
    select relname, 'detached' from pg_class
    where relkind = 'r' and not relispartition and pg_table_is_visible(oid)
      and relname ~ '^(raw_market_data|outbox|polls)_\d{8}$'
    order by relname
""")
_RETENTION = sa.text("""
    insert into retention (relation, dropped_before) values (:relation, :before)
    on conflict (relation) do update
    set dropped_before = greatest(retention.dropped_before, excluded.dropped_before)
""")


def is_missing_partition(error: BaseException) -> bool:
    """Tell whether a row found no partition for its day."""
    original = getattr(error, "orig", error)
    return getattr(original, "pgcode", None) == _NO_PARTITION and "no partition" in str(original)


def partition_name(table: str, day: date) -> str:
    """Return the name of the partition that holds `day` (UTC)."""
    return f"{table}_{day:%Y%m%d}"


def bounds(table: str, day: date) -> tuple[str, str]:
    """Return the first value of `day` and the first one after it, as SQL literals without quotes."""
    start, end = _midnight(day), _midnight(day + timedelta(days=1))
    if table in _BY_UUID:
        return str(lower_bound(start)), str(lower_bound(end))
    return start.isoformat(), end.isoformat()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _parse(name: str) -> tuple[str, date]:
    table, _, digits = name.rpartition("_")
    return table, date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
