"""Where each partition stands: the truth about offsets, in accounts that each are one log.

A position moves only in the consumer's transaction, by compare-and-set, so events and position
are never apart. Here is the rest: opening an account for a log, opening the positions of its
partitions at the log's start, and starting again where the log no longer has a position.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from marketdata.errors import Fenced
from marketdata.storage.engine import transaction

_OPEN = sa.text(
    """
    insert into consumer_accounts (account, topic) values (:account, :topic)
    on conflict (account) do update set closed_at = null, opened_at = now()
    where consumer_accounts.closed_at is not null
    returning account
    """
)
# A consumer may be moving them, and locks them in this order too.
_FORGET = sa.text(
    """
    with held as (
      select "partition" from consumer_offsets where account = :account order by "partition" for update
    )
    delete from consumer_offsets as o using held
    where o.account = :account and o."partition" = held."partition"
    """
)
_CLOSE_OTHERS = sa.text(
    """
    update consumer_accounts set closed_at = now()
    where topic = :topic and account <> :account and closed_at is null
    returning account
    """
)
_IS_OPEN = sa.text("select closed_at is null from consumer_accounts where account = :account for share")
_READ = sa.text('select "partition", next_offset from consumer_offsets where account = :account')
_START = sa.text(
    """
    insert into consumer_offsets (account, "partition", next_offset, opened_at)
    select account, :partition, :start, opened_at from consumer_accounts where account = :account
    on conflict do nothing
    """
)
_REOPEN = sa.text(
    """
    update consumer_offsets set next_offset = :log_start, opened_at = now(), updated_at = now()
    where account = :account and "partition" = :partition and next_offset = :position
    """
)
_GAP = sa.text(
    """
    insert into consumer_gaps (account, "partition", position, log_start, log_end, reason)
    values (:account, :partition, :position, :log_start, :log_end, :reason)
    """
)
# Openings are rare and must not cross each other: one topic's accounts change one at a time.
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtextextended('consumer_accounts ' || :topic, 0))")


class PostgresPositions:
    """Positions in `consumer_accounts`, `consumer_offsets` and `consumer_gaps`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def open_account(self, account: str, topic: str) -> bool:
        """Make `account` the open one of `topic`, closing any other; return whether that was news.

        An account that was closed and is met again is a new log under an old name (an embedded
        broker's id is an address in memory): its positions mean nothing and are forgotten.
        Idempotent. Raises StoreUnavailable.
        """
        with transaction(self._engine) as connection:
            connection.execute(_ONE_AT_A_TIME, {"topic": topic})
            names = {"account": account, "topic": topic}
            is_news = connection.execute(_OPEN, names).first() is not None
            if is_news:
                connection.execute(_FORGET, {"account": account})
            connection.execute(_CLOSE_OTHERS, names)
        return is_news

    def read(self, account: str, log_starts: Mapping[int, int]) -> dict[int, int]:
        """Return the position of each partition in `log_starts`, opening new ones at the log's start.

        A partition met for the first time was open since its account was: what lies in it is a
        backlog, not a loss.

        Raises Fenced where the account is closed, StoreUnavailable.
        """
        with transaction(self._engine) as connection:
            if not connection.scalar(_IS_OPEN, {"account": account}):
                raise Fenced(f"the account {account} is closed")
            for partition in sorted(log_starts):
                connection.execute(
                    _START, {"account": account, "partition": partition, "start": log_starts[partition]}
                )
            rows = connection.execute(_READ, {"account": account})
            return {row.partition: row.next_offset for row in rows if row.partition in log_starts}

    def reopen(
        self, account: str, partition: int, *, position: int, log_start: int, log_end: int, reason: str
    ) -> bool:
        """Count the gap and move the position to the log's start; False if it is not at `position` now.

        What was published there before this instant and never settled is lost and will be
        published again. Raises StoreUnavailable.
        """
        where = {"account": account, "partition": partition, "position": position, "log_start": log_start}
        with transaction(self._engine) as connection:
            if connection.execute(_REOPEN, where).rowcount == 0:
                return False
            connection.execute(_GAP, {**where, "log_end": log_end, "reason": reason})
        return True
