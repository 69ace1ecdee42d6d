"""Events on their way to Kafka.

Events are committed with their raw answer and published afterwards; the broker's confirmation puts
the coordinates on the row. Promises: an event is not forgotten before it is settled; two relays
never hold the same event; dying between publishing and marking publishes again, which consumers
bear.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.publication import Coordinates
from marketdata.storage.engine import transaction

_CLAIM = sa.text("""
    select event_id, provider, symbol, payload, traceparent from outbox
    where published_at is null and settled_at is null
    order by event_id limit :limit
    for update skip locked
""")

_WAITING = sa.text("""
    select exists (select from outbox where published_at is null and settled_at is null)
""")

# published_at is the transaction's start: before the event could be in the log. What the log lost
# after that moment is then never mistaken for what it lost before.
_MARK = sa.text("""
    update outbox set published_at = now(), publications = publications + 1,
      account = sent.account, "partition" = sent.kafka_partition, "offset" = sent.kafka_offset
    from unnest(cast(:ids as uuid[]), cast(:accounts as text[]), cast(:partitions as int[]),
        cast(:offsets as bigint[])) as sent (event_id, account, kafka_partition, kafka_offset)
    where outbox.event_id = sent.event_id
""")

# A consumer that comes later closes what it finds open and gone; so a log is entered before use.
_ACCOUNT = sa.text("""
    insert into consumer_accounts (account, topic) values (:account, :topic) on conflict (account) do nothing
""")

# The ages by the indexes' first rows: the rows that are counted come in no order.
_DEPTH = sa.text("""
    select count(*) filter (where published_at is null),
      count(*),
      coalesce(extract(epoch from now() - (
        select created_at from outbox where published_at is null and settled_at is null
        order by event_id limit 1)), 0)::float8,
      coalesce(extract(epoch from now() - (
        select created_at from outbox where settled_at is null order by event_id limit 1)), 0)::float8
    from (select published_at from outbox where settled_at is null limit :limit) as open_rows
""")
_COUNTED_AT_MOST = 100_000  # a gauge; counting a backlog of millions would cost more than it tells


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A committed event that is not published yet."""

    event_id: UUID
    provider: str
    symbol: str
    payload: bytes
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is open, counted up to 100,000 rows, and how old the oldest is."""

    unpublished: int
    open: int
    unpublished_age_seconds: float
    open_age_seconds: float


class OutboxBatch:
    """Unpublished events, locked until the transaction of `claimed` ends."""

    def __init__(self, connection: sa.Connection, events: tuple[OutboxEvent, ...]) -> None:
        self._connection = connection
        self.events = events

    def mark_published(self, sent: Sequence[tuple[UUID, Coordinates]]) -> None:
        """Note where events were put; those not named stay unpublished."""
        if sent:
            self._connection.execute(
                _MARK,
                {
                    "ids": [event_id for event_id, _ in sent],
                    "accounts": [place.account for _, place in sent],
                    "partitions": [place.partition for _, place in sent],
                    "offsets": [place.offset for _, place in sent],
                },
            )


class PostgresOutbox:
    """The outbox table."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def has_unpublished(self) -> bool:
        """Tell whether anything waits to be published; cheap enough to ask many times a second."""
        with transaction(self._engine) as connection:
            return bool(connection.scalar(_WAITING))

    @contextmanager
    def claimed(self, limit: int) -> Iterator[OutboxBatch]:
        """Yield the oldest unpublished events, none where others hold them; commit at the end.

        The caller publishes inside, and so must end well within the idle-transaction limit.
        """
        with transaction(self._engine) as connection:
            rows = connection.execute(_CLAIM, {"limit": limit})
            yield OutboxBatch(
                connection,
                tuple(
                    OutboxEvent(r.event_id, r.provider, r.symbol, bytes(r.payload), r.traceparent)
                    for r in rows
                ),
            )

    def enter_account(self, account: str, topic: str) -> None:
        """Make the log known before anything is published into it; idempotent."""
        with transaction(self._engine) as connection:
            connection.execute(_ACCOUNT, {"account": account, "topic": topic})

    def depth(self) -> Depth:
        with transaction(self._engine) as connection:
            unpublished, open_rows, oldest_unpublished, oldest = connection.execute(
                _DEPTH, {"limit": _COUNTED_AT_MOST}
            ).one()
        return Depth(unpublished, open_rows, oldest_unpublished, oldest)
