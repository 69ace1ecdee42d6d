"""Rows that end one by one, in tables too small or too mixed for daily partitions.

Promises: a dead letter goes only when its topic has it, no replay of it is waited for, and it is not
what accounts for an open event, which would look lost without it. Each delete is short and takes the
oldest rows first; dying between two leaves nothing half done.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from marketdata.identifiers import lower_bound
from marketdata.storage.engine import transaction

_AT_ONCE = 5000
_ROUNDS_AT_MOST = 20  # the next round of housekeeping goes on

_IDEMPOTENCY_DAYS = 1
_KEYS = sa.text("""
    delete from idempotency_keys where key in (
      select key from idempotency_keys where created_at < :before
      order by created_at limit :limit for update skip locked)
""")
_LETTERS = sa.text("""
    delete from dead_letters where id in (
      select id from dead_letters as letter
      where id < :before and forwarded_at is not null
        and (replay_requested_at is null or replayed_at is not null)
        and (replayed_at is not null or not exists (
          select from outbox where outbox.event_id = letter.event_id and outbox.settled_at is null))
      order by id limit :limit for update skip locked)
""")
_HOURS = sa.text("""
    delete from poll_ledger where (job_id, hour) in (
      select job_id, hour from poll_ledger where hour < :before
      order by hour, job_id limit :limit for update skip locked)
""")
_PROMISES = sa.text("""
    delete from promise_ledger where (job_id, hour) in (
      select job_id, hour from promise_ledger where hour < :before
      order by hour, job_id limit :limit for update skip locked)
""")
_PROMISE_DAYS = sa.text("""
    delete from promise_days where (job_id, day) in (
      select job_id, day from promise_days where day < :before
      order by day, job_id limit :limit for update skip locked)
""")


@dataclass(frozen=True, slots=True)
class Expiry:
    """After how many days rows go."""

    dead_letters: int
    poll_ledger: int
    promise_ledger: int


class PostgresExpiry:
    """Deletes what is older than it need be kept; several processes may do so at once."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def delete_old(self, expiry: Expiry) -> dict[str, int]:
        """Delete what may go; return how many rows of each table that had any. StoreUnavailable."""
        with transaction(self._engine) as connection:
            now: datetime = connection.execute(sa.text("select now()")).scalar_one()
        now = now.astimezone(UTC)
        letters_before = lower_bound(now - timedelta(days=expiry.dead_letters))
        counts = {
            "idempotency_keys": self._delete(_KEYS, now - timedelta(days=_IDEMPOTENCY_DAYS)),
            "dead_letters": self._delete(_LETTERS, letters_before),
            "poll_ledger": self._delete(_HOURS, now - timedelta(days=expiry.poll_ledger)),
            "promise_ledger": self._delete(_PROMISES, now - timedelta(days=expiry.promise_ledger)),
            "promise_days": self._delete(_PROMISE_DAYS, now - timedelta(days=expiry.promise_ledger)),
        }
        return {table: count for table, count in counts.items() if count}

    def _delete(self, statement: sa.TextClause, before: object) -> int:
        deleted = 0
        for _ in range(_ROUNDS_AT_MOST):
            with transaction(self._engine) as connection:
                count = connection.execute(statement, {"before": before, "limit": _AT_ONCE}).rowcount
            deleted += count
            if count < _AT_ONCE:
                break
        return deleted
