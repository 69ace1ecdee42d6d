"""Dead letters on their way out: to the dead-letter topic, and back to the topic they came from.

Forwarding tells people and tools; the table stays the record. A replay is asked for by a person
after the cause is mended: the original message is published again, and its event becomes open
again, so that both the ledger and the sweep know of it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.publication import Coordinates
from marketdata.identifiers import time_of
from marketdata.storage.dead_letters import COLUMNS, StoredLetter, stored_letter
from marketdata.storage.engine import transaction

_FIRST = UUID(int=0)  # before all ids

_UNFORWARDED = sa.text(f"""
    select {COLUMNS} from dead_letters where forwarded_at is null and id > :after order by id limit :limit
    for update skip locked
""")
_REQUESTED = sa.text(f"""
    select {COLUMNS} from dead_letters where replay_requested_at is not null and replayed_at is null
    order by id limit :limit for update skip locked
""")
_WAITING = sa.text("""
    select exists (select from dead_letters where forwarded_at is null and id > :after)
      or exists (select from dead_letters where replay_requested_at is not null and replayed_at is null)
""")
_COUNTED_AT_MOST = 100_000
_COUNTS = sa.text(f"""
    select
      (select count(*) from (select from dead_letters where forwarded_at is null
        limit {_COUNTED_AT_MOST}) as letters),
      (select count(*) from (select from dead_letters
        where replay_requested_at is not null and replayed_at is null limit {_COUNTED_AT_MOST}) as letters),
      (select count(*) from (select from dead_letters
        where replay_requested_at is null and replayed_at is null limit {_COUNTED_AT_MOST}) as letters)
""")
_FORWARDED = sa.text("update dead_letters set forwarded_at = now() where id = any(:ids)")
_REPLAYED = sa.text("update dead_letters set replayed_at = now() where id = any(:ids)")
_GIVEN_UP = sa.text("update dead_letters set replay_requested_at = null where id = any(:ids)")

_REOPEN = sa.text("""
    update outbox set settled_at = null, settlement = null, published_at = now(),
      publications = publications + 1, account = sent.account, "partition" = sent.kafka_partition,
      "offset" = sent.kafka_offset
    from unnest(cast(:ids as uuid[]), cast(:accounts as text[]), cast(:partitions as int[]),
        cast(:offsets as bigint[])) as sent (event_id, account, kafka_partition, kafka_offset),
      (select event_id as id, settlement as before from outbox where event_id = any(cast(:ids as uuid[]))
       order by event_id for update) as was
    where outbox.event_id = sent.event_id and was.id = sent.event_id
      and (outbox.settlement is null or outbox.settlement = 'dead')
    returning outbox.event_id, outbox.provider, was.before
""")
# Locked as the sweep and the recorders do it, by provider and day, before any is touched.
_UNDEAD = sa.text("""
    with held as (
      select ledger.provider, ledger.day, back.count
      from unnest(cast(:providers as text[]), cast(:days as date[]), cast(:counts as bigint[]))
        as back (provider, day, count)
      join event_ledger as ledger using (provider, day)
      order by ledger.provider, ledger.day for update of ledger
    )
    update event_ledger as ledger set dead = ledger.dead - held.count
    from held where ledger.provider = held.provider and ledger.day = held.day
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many dead letters wait for what, each counted up to 100,000; one may wait for two things."""

    forwarding: int
    replay: int
    decision: int


class DeadLetterBatch:
    """Dead letters locked until the transaction ends."""

    def __init__(self, connection: sa.Connection, letters: tuple[StoredLetter, ...]) -> None:
        self._connection = connection
        self.letters = letters

    def mark_forwarded(self, ids: Sequence[UUID]) -> None:
        """Note that the dead-letter topic has them."""
        self._connection.execute(_FORWARDED, {"ids": list(ids)})

    def mark_replayed(self, sent: Sequence[tuple[StoredLetter, Coordinates]]) -> None:
        """Note that they were published again, and open their events where there are any."""
        self._connection.execute(_REPLAYED, {"ids": [stored.id for stored, _ in sent]})
        places = {
            stored.letter.event_id: place for stored, place in sent if stored.letter.event_id is not None
        }
        if not places:
            return
        rows = self._connection.execute(
            _REOPEN,
            {
                "ids": list(places),
                "accounts": [place.account for place in places.values()],
                "partitions": [place.partition for place in places.values()],
                "offsets": [place.offset for place in places.values()],
            },
        )
        back = Counter((row.provider, time_of(row.event_id).date()) for row in rows if row.before == "dead")
        if back:
            self._connection.execute(
                _UNDEAD,
                {
                    "providers": [provider for provider, _ in back],
                    "days": [day for _, day in back],
                    "counts": list(back.values()),
                },
            )

    def give_up(self, ids: Sequence[UUID]) -> None:
        """Forget that their replay was asked for; they stay dead and may be asked for again."""
        self._connection.execute(_GIVEN_UP, {"ids": list(ids)})


class PostgresDeadLetterRelay:
    """What of `dead_letters` waits for the relay."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def has_waiting(self, *, after: UUID = _FIRST) -> bool:
        """Tell whether any letter waits to be replayed, or one with an id over `after` to be forwarded.

        Cheap enough to ask many times a second.
        """
        with transaction(self._engine) as connection:
            return bool(connection.scalar(_WAITING, {"after": after}))

    def waiting(self) -> Waiting:
        """Count what waits; for people, and dearer than `has_waiting`."""
        with transaction(self._engine) as connection:
            return Waiting(*connection.execute(_COUNTS).one())

    @contextmanager
    def unforwarded(self, limit: int, *, after: UUID = _FIRST) -> Iterator[DeadLetterBatch]:
        """Yield the first letters by id, over `after`, that their topic does not have; commit at the end."""
        with self._claimed(_UNFORWARDED, limit=limit, after=after) as batch:
            yield batch

    @contextmanager
    def requested(self, limit: int) -> Iterator[DeadLetterBatch]:
        """Yield the oldest letters whose replay was asked for; commit at the end."""
        with self._claimed(_REQUESTED, limit=limit) as batch:
            yield batch

    @contextmanager
    def _claimed(self, statement: sa.TextClause, **values: object) -> Iterator[DeadLetterBatch]:
        with transaction(self._engine) as connection:
            rows = connection.execute(statement, values)
            yield DeadLetterBatch(connection, tuple(stored_letter(row) for row in rows))
