"""`consumer_offsets` within the consumer's transaction: compare, lock, move."""

from collections.abc import Mapping
from typing import Protocol

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from marketdata.errors import Fenced

_LOCK = """
    select o."partition", o.next_offset from consumer_offsets o
    join consumer_accounts a on a.account = o.account and a.closed_at is null
    where o.account = %s and o."partition" = any(%s)
    order by o."partition" for update of o
"""
_MOVE = """
    update consumer_offsets o
    set next_offset = m.next_offset, updated_at = now(), consumed = o.consumed + m.consumed,
        stored = o.stored + m.consumed - m.passed - m.dead, redelivered = o.redelivered + m.passed,
        dead = o.dead + m.dead
    from unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        as m("partition", next_offset, consumed, passed, dead)
    where o.account = %s and o."partition" = m."partition"
"""


class PositionMove(Protocol):
    """Where a partition goes, and what of the messages passed was not stored."""

    @property
    def next_offset(self) -> int: ...
    @property
    def consumed(self) -> int: ...
    @property
    def superseded(self) -> int: ...
    @property
    def redelivered(self) -> int: ...
    @property
    def dead(self) -> int: ...


def lock(cursor: Cursor, account: str, expected: Mapping[int, int]) -> None:
    """Lock positions in partition order; raises Fenced unless each is as expected and the account open."""
    cursor.execute(_LOCK, (account, sorted(expected)))
    found = dict(cursor.fetchall())
    for partition, position in sorted(expected.items()):
        if found.get(partition) != position:
            raise Fenced(f"partition {partition} is at {found.get(partition)}, expected {position}")


def move(cursor: Cursor, account: str, moves: Mapping[int, PositionMove]) -> None:
    """Move positions locked before, and count what was passed."""
    partitions = sorted(moves)
    cursor.execute(
        _MOVE,
        (
            partitions,
            [moves[p].next_offset for p in partitions],
            [moves[p].consumed for p in partitions],
            [moves[p].superseded + moves[p].redelivered for p in partitions],
            [moves[p].dead for p in partitions],
            account,
        ),
    )
