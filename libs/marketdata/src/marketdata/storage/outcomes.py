"""Recording what a provider answered: one transaction, so that nothing is half known.

With the raw bytes go the events that were read from them, the ledger of events, what is known about
each symbol, and the completion of every job that has an outcome for all its symbols now. Promises:

- a tick is recorded at most once: only under a lease token that is still in the schedule, and the
  completion takes the token away; `polls` has (job, tick) as its key;
- an event exists exactly when its raw answer does and a job that asked for it was still ours;
- an answer under lost leases is kept as raw, marked fenced, and makes no event.

Locks are taken in one order (schedule by job, then symbols by name, then ledgers), so recorders
never wait for each other in a circle.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.answer import RawResponse
from marketdata.domain.poll import DueJob, Outcome, SymbolOutcome, Tally, answers, tally
from marketdata.domain.publication import Observation
from marketdata.identifiers import time_of
from marketdata.messages import price_event
from marketdata.storage import completions, raw_archive
from marketdata.storage.engine import transaction
from marketdata.storage.job_queue import tokens
from marketdata.storage.partitions import PostgresPartitions, is_missing_partition
from marketdata.storage.storable import storable


@dataclass(frozen=True, slots=True)
class Recording:
    """What one request brought, and the jobs that wait for it.

    `asked_at` is when the request began, on the database's clock. Each symbol asked is in one of
    `observations` and `missed`. `jobs` are all jobs held by this poller that ask for one of these
    symbols or are complete already; `known` is what is known about their other symbols.
    """

    provider: str
    asked_at: datetime
    jobs: Sequence[DueJob]
    known: Mapping[str, SymbolOutcome]
    raws: Sequence[RawResponse] = ()
    observations: Sequence[Observation] = ()
    missed: Mapping[str, SymbolOutcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded: outcomes by symbol, completed polls by job, and the jobs that were lost.

    `recorded_before` are jobs that an earlier try of the same recording completed.
    """

    outcomes: Mapping[str, SymbolOutcome]
    completed: Mapping[UUID, Tally]
    lost: frozenset[UUID]
    events: int
    recorded_before: frozenset[UUID] = frozenset()


_HELD = sa.text("""
    select schedule.job_id from polling_schedule as schedule
    join unnest(cast(:jobs as uuid[]), cast(:tokens as uuid[])) as held (job_id, token)
      on schedule.job_id = held.job_id and schedule.lease_token = held.token
    order by schedule.job_id
    for update of schedule
""")

# Completed by an earlier try, whose commit was not heard of: not held any more, and not lost.
_RECORDED = sa.text("""
    select polls.job_id from polls
    join unnest(cast(:jobs as uuid[]), cast(:ticks as timestamptz[])) as done (job_id, tick_at)
      on polls.job_id = done.job_id and polls.tick_at = done.tick_at
    where polls.poller = :poller
""")

_KEPT = sa.text("select id from raw_market_data where id = any(:ids)")

_LAST_SEEN = sa.text("""
    select symbol, observed_at, price, outcome, raw_response_id from symbol_states
    where provider = :provider and symbol = any(:symbols)
    order by symbol for update
""")

_REMEMBER = sa.text("""
    insert into symbol_states as known (provider, symbol, asked_at, fetched_at, raw_response_id, outcome,
        message, observed_at, price, consecutive_failures, last_success_at)
    select :provider, symbol, :asked_at, fetched_at, raw_response_id, outcome, message, observed_at, price,
        case when price is null then 1 else 0 end, case when price is null then null else now() end
    from unnest(cast(:symbols as text[]), cast(:fetched_at as timestamptz[]), cast(:raws as uuid[]),
        cast(:outcomes as text[]), cast(:messages as text[]), cast(:observed_at as timestamptz[]),
        cast(:prices as numeric[]))
      as new (symbol, fetched_at, raw_response_id, outcome, message, observed_at, price)
    order by symbol
    on conflict (provider, symbol) do update set
      asked_at = excluded.asked_at, fetched_at = excluded.fetched_at,
      raw_response_id = excluded.raw_response_id, outcome = excluded.outcome, message = excluded.message,
      observed_at = coalesce(excluded.observed_at, known.observed_at),
      price = coalesce(excluded.price, known.price),
      consecutive_failures = case when excluded.price is null then known.consecutive_failures + 1 else 0 end,
      last_success_at = coalesce(excluded.last_success_at, known.last_success_at)
    where known.asked_at <= excluded.asked_at
""")

_OUTBOX = sa.text("""
    insert into outbox (event_id, raw_response_id, provider, symbol, observed_at, fetched_at, outcome,
        payload, traceparent)
    select event_id, raw_response_id, :provider, symbol, observed_at, fetched_at, outcome, payload,
      traceparent
    from unnest(cast(:event_ids as uuid[]), cast(:raws as uuid[]), cast(:symbols as text[]),
        cast(:observed_at as timestamptz[]), cast(:fetched_at as timestamptz[]), cast(:outcomes as text[]),
        cast(:payloads as bytea[]), cast(:traceparents as text[]))
      as new (event_id, raw_response_id, symbol, observed_at, fetched_at, outcome, payload, traceparent)
""")

_CREATED = sa.text("""
    insert into event_ledger as ledger (provider, day, created)
    select :provider, day, created
    from unnest(cast(:days as date[]), cast(:counts as bigint[])) as new (day, created)
    order by day
    on conflict (provider, day) do update set created = ledger.created + excluded.created
""")


class PostgresOutcomes:
    """Writes outcomes; safe to use from several threads."""

    def __init__(self, engine: sa.Engine, *, poller: str, lease: timedelta) -> None:
        """`poller` is recorded with each poll; `lease` is granted anew to jobs not yet complete."""
        self._engine = engine
        self._poller = poller
        self._lease = lease
        self._partitions = PostgresPartitions(engine)

    def record(self, recording: Recording) -> Recorded:
        """Record in one transaction, and once only however often the same recording is tried.

        Raises StoreUnavailable; then nothing or everything was recorded, and trying again finds out.
        A missing partition is made, and the transaction tried again.
        """
        try:
            return self._record(recording)
        except sa.exc.DBAPIError as error:
            if not is_missing_partition(error):
                raise
        days = {time_of(raw.raw_response_id).date() for raw in recording.raws}
        days |= {time_of(each.event_id).date() for each in recording.observations}
        days |= {job.tick_at.astimezone(UTC).date() for job in recording.jobs}
        self._partitions.ensure(days)
        return self._record(recording)

    def _record(self, recording: Recording) -> Recorded:
        with transaction(self._engine) as connection:
            held = set(connection.scalars(_HELD, tokens(recording.jobs)))
            jobs = [job for job in recording.jobs if job.job_id in held]
            wanted = {symbol for job in jobs for symbol in job.symbols}
            recorded = self._recorded(connection, [j for j in recording.jobs if j.job_id not in held])
            repeated = self._was_committed(connection, recording.raws)
            raw_archive.insert(
                connection,
                recording.raws,
                unfenced={
                    raw.raw_response_id for raw in recording.raws if not wanted.isdisjoint(raw.symbols)
                },
            )
            observations = [each for each in recording.observations if each.point.symbol in wanted]
            missed = {s: outcome for s, outcome in recording.missed.items() if s in wanted}
            outcomes = self._outcomes(connection, recording, observations, missed)
            if not repeated:
                self._remember(connection, recording, observations, outcomes)
                self._make_events(connection, recording.provider, observations, outcomes)
            known = {**recording.known, **outcomes}
            done = [job for job in jobs if all(answers(known.get(s), job) for s in job.symbols)]
            tallies = {job.job_id: tally(job.symbols, known) for job in done}
            completions.complete(connection, done, tallies, known, poller=self._poller)
            finished = set(tallies)
            completions.extend(connection, [j for j in jobs if j.job_id not in finished], self._lease)
        return Recorded(
            outcomes=outcomes,
            completed=tallies,
            lost=frozenset(job.job_id for job in recording.jobs) - held - recorded,
            events=0 if repeated else len(observations),
            recorded_before=recorded,
        )

    def _recorded(self, connection: sa.Connection, jobs: Sequence[DueJob]) -> frozenset[UUID]:
        """Return those of `jobs` whose poll this poller has recorded."""
        if not jobs:
            return frozenset()
        found = connection.scalars(
            _RECORDED,
            {
                "jobs": [job.job_id for job in jobs],
                "ticks": [job.tick_at for job in jobs],
                "poller": self._poller,
            },
        )
        return frozenset(found)

    def _was_committed(self, connection: sa.Connection, raws: Sequence[RawResponse]) -> bool:
        """Tell whether an earlier try of this recording was committed without our hearing of it."""
        ids = [raw.raw_response_id for raw in raws]
        return bool(ids) and connection.execute(_KEPT, {"ids": ids}).first() is not None

    def _outcomes(
        self,
        connection: sa.Connection,
        recording: Recording,
        observations: Sequence[Observation],
        missed: Mapping[str, SymbolOutcome],
    ) -> dict[str, SymbolOutcome]:
        """Return the outcome of every symbol; a price is fresh if its time or value is new."""
        # Those without a price are locked too, or two recorders could each hold what the other needs next.
        symbols = sorted({*(each.point.symbol for each in observations), *missed})
        rows = connection.execute(_LAST_SEEN, {"provider": recording.provider, "symbols": symbols})
        last = {row.symbol: row for row in rows} if symbols else {}
        outcomes = dict(missed)
        for each in observations:
            point, before = each.point, last.get(each.point.symbol)
            same = before is not None and (before.observed_at, before.price) == (
                point.observed_at,
                point.price,
            )
            kind = Outcome.UNCHANGED if same else Outcome.FRESH
            if before is not None and before.raw_response_id == point.raw_response_id:
                kind = Outcome(before.outcome)  # recorded before, by a try whose commit was not heard of
            outcomes[point.symbol] = SymbolOutcome(kind, recording.asked_at)
        return outcomes

    def _remember(
        self,
        connection: sa.Connection,
        recording: Recording,
        observations: Sequence[Observation],
        outcomes: Mapping[str, SymbolOutcome],
    ) -> None:
        points = {each.point.symbol: each.point for each in observations}
        symbols = [s for s, o in outcomes.items() if o.outcome is not Outcome.SKIPPED]
        if not symbols:
            return
        found = [points.get(symbol) for symbol in symbols]
        connection.execute(
            _REMEMBER,
            {
                "provider": recording.provider,
                "asked_at": recording.asked_at,
                "symbols": symbols,
                "fetched_at": [point and point.fetched_at for point in found],
                "raws": [point and point.raw_response_id for point in found],
                "outcomes": [outcomes[s].reason or outcomes[s].outcome.value for s in symbols],
                "messages": [storable(outcomes[s].message or "") or None for s in symbols],
                "observed_at": [point and point.observed_at for point in found],
                "prices": [point and point.price for point in found],
            },
        )

    def _make_events(
        self,
        connection: sa.Connection,
        provider: str,
        observations: Sequence[Observation],
        outcomes: Mapping[str, SymbolOutcome],
    ) -> None:
        if not observations:
            return
        points = [each.point for each in observations]
        connection.execute(
            _OUTBOX,
            {
                "provider": provider,
                "event_ids": [each.event_id for each in observations],
                "raws": [point.raw_response_id for point in points],
                "symbols": [point.symbol for point in points],
                "observed_at": [point.observed_at for point in points],
                "fetched_at": [point.fetched_at for point in points],
                "outcomes": [outcomes[point.symbol].outcome.value for point in points],
                "payloads": [price_event.encode(point) for point in points],
                "traceparents": [each.traceparent for each in observations],
            },
        )
        days = Counter(time_of(each.event_id).date() for each in observations)
        connection.execute(
            _CREATED, {"provider": provider, "days": list(days), "counts": list(days.values())}
        )
