"""What became of each published event: found afterwards, off the hot path.

An event is settled when a price point of its identity has its rank or a higher one, or when a dead
letter carries its id. It is lost only if it is not settled and cannot be any more: its log is
closed, the consumer's position has passed it, or the position was reopened after it was published.
Lost events go back to the relay; a backlog alone is never published again.

Settling and the test for loss read one snapshot: the consumer moves its position and stores the
point in one transaction, so whoever sees the one sees the other.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from marketdata.identifiers import time_of
from marketdata.storage.engine import transaction

_FIRST = UUID(int=0)
_LOCK = sa.text("select pg_try_advisory_xact_lock(hashtext('settlement'))")

# One statement is one snapshot. The order of the cases matters: whatever is settled is not lost.
#
# Only rows with a verdict are locked: a backlog that is looked at each round must cost no writes.
# Locking finds the newest version of a row while the verdict is of the snapshot, so a row is left to
# the next round unless it is still open and of the same publication. That suffices for every verdict:
# points are never taken back, and a republication or a replay gives the row another published_at in
# the transaction that makes `lost` or `dead` untrue. If that transaction holds the row, the row is
# skipped; if it comes to the row after us, it waits and opens what we settled.
_SWEEP = sa.text("""
    with batch as materialized (
      select event_id, raw_response_id, provider, symbol, observed_at, fetched_at, published_at, account,
        "partition", "offset"
      from outbox where settled_at is null and event_id > :after
      order by event_id limit :limit
    ), judged as materialized (
      select batch.event_id, batch.provider, batch.published_at,
        case
          when point.raw_response_id = batch.raw_response_id then 'stored'
          when (point.fetched_at, point.raw_response_id) > (batch.fetched_at, batch.raw_response_id)
            then 'superseded'
          when exists (select from dead_letters as dead
                       where dead.event_id = batch.event_id and dead.replayed_at is null) then 'dead'
          when batch.published_at is not null and (
            account.closed_at is not null
            or position.next_offset > batch."offset"
            or position.opened_at > batch.published_at
          ) then 'lost'
        end as verdict
      from batch
      left join price_points as point using (provider, symbol, observed_at)
      left join consumer_accounts as account on account.account = batch.account
      left join consumer_offsets as position
        on position.account = batch.account and position."partition" = batch."partition"
    ), held as materialized (
      select outbox.event_id, judged.verdict
      from judged join outbox on outbox.event_id = judged.event_id
      where judged.verdict is not null and outbox.settled_at is null
        and outbox.published_at is not distinct from judged.published_at
      order by outbox.event_id
      for update of outbox skip locked
    ), lost as (
      update outbox set published_at = null, account = null, "partition" = null, "offset" = null
      from held where outbox.event_id = held.event_id and held.verdict = 'lost'
      returning outbox.event_id, held.verdict
    ), settled as (
      update outbox set settled_at = now(), settlement = held.verdict
      from held where outbox.event_id = held.event_id and held.verdict <> 'lost'
      returning outbox.event_id, held.verdict
    )
    select judged.event_id, judged.provider, done.verdict
    from judged left join (table lost union all table settled) as done using (event_id)
    order by judged.event_id
""")

_COUNT = sa.text("""
    insert into event_ledger as ledger (provider, day, stored, superseded, dead, republished)
    select * from unnest(cast(:providers as text[]), cast(:days as date[]), cast(:stored as bigint[]),
      cast(:superseded as bigint[]), cast(:dead as bigint[]), cast(:lost as bigint[]))
      as new (provider, day, stored, superseded, dead, republished)
    order by provider, day
    on conflict (provider, day) do update set
      stored = ledger.stored + excluded.stored, superseded = ledger.superseded + excluded.superseded,
      dead = ledger.dead + excluded.dead, republished = ledger.republished + excluded.republished
""")

VERDICTS = ("stored", "superseded", "dead", "lost")


@dataclass(frozen=True, slots=True)
class Swept:
    """What one batch found; `seen` rows were looked at, `cursor` is where the next batch begins."""

    seen: int
    verdicts: Counter[str]
    cursor: UUID

    @property
    def settled(self) -> int:
        return self.seen - self.verdicts["open"] - self.verdicts["lost"]


class PostgresSettlement:
    """The sweep over open events, a batch at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def sweep(self, *, after: UUID = _FIRST, limit: int = 2000) -> Swept | None:
        """Judge up to `limit` open events above `after`, in one transaction with their ledger.

        Returns None where another process sweeps just now. A batch that is not full was the last:
        begin again at the start, its `cursor`.
        """
        with transaction(self._engine) as connection:
            if not connection.scalar(_LOCK):
                return None
            rows = connection.execute(_SWEEP, {"after": after, "limit": limit}).all()
            counts: dict[tuple[str, date], Counter[str]] = {}
            for row in rows:
                if row.verdict is not None:
                    key = (row.provider, time_of(row.event_id).date())
                    counts.setdefault(key, Counter())[row.verdict] += 1
            if counts:
                connection.execute(
                    _COUNT,
                    {
                        "providers": [provider for provider, _ in counts],
                        "days": [day for _, day in counts],
                        **{verdict: [count[verdict] for count in counts.values()] for verdict in VERDICTS},
                    },
                )
        verdicts = Counter(row.verdict or "open" for row in rows)
        cursor = rows[-1].event_id if len(rows) == limit else _FIRST
        return Swept(len(rows), verdicts, cursor)
