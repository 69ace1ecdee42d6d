"""Both ledgers, read: what was asked and made, and where every bit of it is.

    polls:   asked   = fresh + unchanged + failed + skipped      per job and hour
    events:  created = open + stored + superseded + dead         per provider and day

`open` is not counted anywhere but in the outbox, so the second equation compares two independent
records; an event that vanished would show as an imbalance for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from marketdata.identifiers import lower_bound
from marketdata.storage.engine import transaction

_POLLS = sa.text("""
    select job_id, hour, polls, asked, fresh, unchanged, failed, skipped from poll_ledger
    where (cast(:job_id as uuid) is null or job_id = :job_id) and hour >= :start and hour < :end
    order by hour, job_id
""")

# One statement, so that ledger and outbox are read in one snapshot.
_EVENTS = sa.text("""
    with open_events as (
      select provider, cast(to_timestamp(
          cast(cast('x' || left(replace(cast(event_id as text), '-', ''), 12) as bit(48)) as bigint) / 1000.0
        ) at time zone 'UTC' as date) as day, count(*) as open
      from outbox where settled_at is null and event_id >= :first and event_id < :last
      group by 1, 2
    )
    select provider, day, coalesce(created, 0) as created, coalesce(open, 0) as open,
      coalesce(stored, 0) as stored, coalesce(superseded, 0) as superseded, coalesce(dead, 0) as dead,
      coalesce(republished, 0) as republished
    from (select * from event_ledger where day >= :first_day and day < :last_day) as ledger
    full join open_events using (provider, day)
    order by day, provider
""")

_POLL_IMBALANCE = sa.text("""
    select coalesce(sum(abs(asked - fresh - unchanged
      - (select coalesce(sum(cast(value as bigint)), 0) from jsonb_each_text(failed))
      - (select coalesce(sum(cast(value as bigint)), 0) from jsonb_each_text(skipped)))), 0)
    from poll_ledger where hour >= date_trunc('hour', now() - :since, 'UTC')
""")

_COUNTERS = sa.text("""
    select
      (select coalesce(sum(consumed), 0) from consumer_offsets) as consumed,
      (select coalesce(sum(stored), 0) from consumer_offsets) as stored,
      (select coalesce(sum(redelivered), 0) from consumer_offsets) as redelivered,
      (select coalesce(sum(dead), 0) from consumer_offsets) as dead,
      (select coalesce(sum(republished), 0) from event_ledger) as republished,
      (select count(*) from consumer_gaps) as gaps,
      (select count(*) from dead_letters) as dead_letters,
      (select count(*) from dead_letters where event_id is null) as foreign_dead_letters
""")


@dataclass(frozen=True, slots=True)
class PollLedgerRow:
    """The polls of one job whose ticks fell into one hour."""

    job_id: UUID
    hour: datetime
    polls: int
    asked: int
    fresh: int
    unchanged: int
    failed: Mapping[str, int]
    skipped: Mapping[str, int]

    @property
    def imbalance(self) -> int:
        """Return what is asked and not accounted for; 0 is the promise."""
        found = self.fresh + self.unchanged + sum(self.failed.values()) + sum(self.skipped.values())
        return self.asked - found


@dataclass(frozen=True, slots=True)
class EventLedgerRow:
    """The events of one provider made on one day (UTC)."""

    provider: str
    day: date
    created: int
    open: int
    stored: int
    superseded: int
    dead: int
    republished: int

    @property
    def imbalance(self) -> int:
        """Return what was created and is nowhere; 0 is the promise."""
        return self.created - self.open - self.stored - self.superseded - self.dead


@dataclass(frozen=True, slots=True)
class Imbalance:
    """What the two equations are off by, in absolute numbers."""

    polls: int
    events: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted beside the equations since the beginning; dead letters while they are kept."""

    consumed: int
    stored: int
    redelivered: int
    dead: int
    republished: int
    gaps: int
    dead_letters: int
    foreign_dead_letters: int


class PostgresLedger:
    """Reads both ledgers."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def polls(self, job_id: UUID | None, start: datetime, end: datetime) -> list[PollLedgerRow]:
        """Return the rows of the hours that begin in [start, end), of one job or of all."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_POLLS, {"job_id": job_id, "start": start, "end": end})
            return [PollLedgerRow(*row) for row in rows]

    def events(self, start: datetime, end: datetime) -> list[EventLedgerRow]:
        """Return the rows of the days that begin in [start, end), whole days of UTC."""
        first, last = _first_midnight(start), _first_midnight(end)
        with transaction(self._engine) as connection:
            rows = connection.execute(
                _EVENTS,
                {
                    "first": lower_bound(first),
                    "last": lower_bound(last),
                    "first_day": first.date(),
                    "last_day": last.date(),
                },
            )
            return [EventLedgerRow(*row) for row in rows]

    def imbalance(self, *, days: int = 2) -> Imbalance:
        """Return what the equations of the last `days` days are off by; both 0 is the promise."""
        with transaction(self._engine) as connection:
            now: datetime = connection.execute(sa.text("select now()")).scalar_one()
            polls = connection.execute(_POLL_IMBALANCE, {"since": timedelta(days=days)}).scalar_one()
        events = self.events(now - timedelta(days=days), now + timedelta(days=1))
        return Imbalance(polls=int(polls), events=sum(abs(row.imbalance) for row in events))

    def counters(self) -> Counters:
        """Return the counts, of all consumers and logs together."""
        with transaction(self._engine) as connection:
            row = connection.execute(_COUNTERS).one()
        return Counters(*(int(count) for count in row))


def _first_midnight(at: datetime) -> datetime:
    """Return the first beginning of a day, UTC, at or after `at`."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == at else midnight + timedelta(days=1)
