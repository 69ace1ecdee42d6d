"""Due jobs: finding, leasing and letting go of them.

A claim takes everything of one provider that is due, so that jobs asking for the same symbols are
fetched together. Promises: a due job is leased to one poller at a time; a lease that its poller
does not renew ends by itself; whether work under a lease still counts is decided by its token when
the outcome is recorded (`outcomes`), never by a clock. All times are the database's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa

from marketdata.domain.poll import DueJob, Outcome, SymbolOutcome
from marketdata.storage.engine import transaction

# Above any deployment that one Postgres row per job suits, so that a round of one provider is one
# claim; bounds the memory of a poller that comes back to a long backlog.
MAX_JOBS_PER_CLAIM = 10_000

# Apart from the providers row, whose lock the request budget needs many times a second.
_CLAIM_LOCK = sa.text("select pg_try_advisory_xact_lock(hashtext('claim'), hashtext(:provider))")

_CLAIM = sa.text("""
    with due as (
      select job_id from polling_schedule
      where provider = :provider and due_at <= now() and (lease_until is null or lease_until <= now())
      order by due_at limit :limit
      for update skip locked
    )
    update polling_schedule as schedule
    set lease_owner = :owner, lease_token = :token, lease_until = now() + :lease
    from due join polling_jobs as job using (job_id)
    where schedule.job_id = due.job_id
    returning schedule.job_id, schedule.due_at, job.interval_seconds, job.symbols
""")

_STATES = sa.text("""
    select symbol, asked_at, outcome, message from symbol_states
    where provider = :provider and symbol = any(:symbols)
""")

# One pass over the jobs that can shorten anything, which are none where all are as quick as those
# claimed. A look for each symbol in the index of symbols would read what was added to that and not
# yet sorted in as often: a second for 50 symbols after 10,000 jobs were made.
QUICKER = sa.text("""
    select asked.symbol, min(job.interval_seconds)
    from polling_jobs as job cross join unnest(job.symbols) as asked (symbol)
    where job.provider = :provider and not job.suspended and job.interval_seconds < :longest
      and asked.symbol = any(:symbols)
    group by asked.symbol
""")

_NEXT_DUE = sa.text("""
    select name.provider, extract(epoch from first.due_at - now())::float8
    from unnest(cast(:providers as text[])) as name (provider)
    cross join lateral (
      select due_at from polling_schedule
      where polling_schedule.provider = name.provider and (lease_until is null or lease_until <= now())
      order by due_at limit 1
    ) as first
""")

# The index is ordered by due time, so this reads one row of it for each provider.
_LATENESS = sa.text("""
    select name.provider,
      greatest(0, coalesce(extract(epoch from now() - (
        select due_at from polling_schedule where polling_schedule.provider = name.provider
        order by due_at limit 1)), 0))::float8
    from unnest(cast(:providers as text[])) as name (provider)
""")

# Whoever needs several rows of the schedule takes them in the order of their jobs.
_LOCK_HELD = """
    with mine as (
      select schedule.job_id from polling_schedule as schedule
      join unnest(cast(:jobs as uuid[]), cast(:tokens as uuid[])) as held (job_id, token)
        on schedule.job_id = held.job_id and schedule.lease_token = held.token
      order by schedule.job_id for update of schedule
    )
"""
_RENEW = sa.text(f"""
    {_LOCK_HELD} update polling_schedule as schedule set lease_until = now() + :lease
    from mine where schedule.job_id = mine.job_id
    returning schedule.job_id
""")

_RELEASE = sa.text(f"""
    {_LOCK_HELD} update polling_schedule as schedule
    set lease_owner = null, lease_token = null, lease_until = null
    from mine where schedule.job_id = mine.job_id
""")

_ORPHANED = sa.text("""
    select distinct schedule.provider from polling_schedule as schedule
    left join providers on providers.provider = schedule.provider
      and providers.seen_at > now() - :unseen
    where providers.provider is null and schedule.due_at <= now()
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took, and the database's time when it did.

    `known` holds what is known about the jobs' symbols from earlier requests. `quicker` holds the
    shortest interval, in seconds, at which the provider's running jobs, due or not, ask for one of
    them, where that is shorter than the longest of `jobs`. A job that is suspended or deleted later
    counts until the next claim.
    """

    jobs: tuple[DueJob, ...]
    known: dict[str, SymbolOutcome]
    quicker: dict[str, int]
    claimed_at: datetime


class PostgresJobQueue:
    """The schedule of all jobs, as a queue."""

    def __init__(self, engine: sa.Engine, *, owner: str, lease: timedelta) -> None:
        """`owner` names this poller to people; `lease` is how long it may stay silent."""
        self._engine = engine
        self._owner = owner
        self._lease = lease

    def next_due(self, providers: Sequence[str]) -> dict[str, float]:
        """Return the seconds until the earliest unleased job of each provider is due; ≤ 0 is now.

        Providers without such a job are left out.
        """
        with transaction(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(_NEXT_DUE, {"providers": list(providers)})}

    def lateness(self, providers: Sequence[str]) -> dict[str, float]:
        """Return how many seconds the job of each provider that was due first is late, leased or not.

        A claim may take more than is served for minutes, so a lease is no answer. 0 where none is due.
        """
        with transaction(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(_LATENESS, {"providers": list(providers)})}

    def claim(self, provider: str, *, limit: int = MAX_JOBS_PER_CLAIM) -> Claim | None:
        """Lease the due jobs of `provider`; None where another poller is claiming them just now.

        If this process dies here, the leases end by themselves and the jobs are claimed again.
        """
        token = uuid4()
        with transaction(self._engine) as connection:
            if not connection.scalar(_CLAIM_LOCK, {"provider": provider}):
                return None
            rows = connection.execute(
                _CLAIM,
                {
                    "provider": provider,
                    "owner": self._owner,
                    "token": token,
                    "lease": self._lease,
                    "limit": limit,
                },
            ).all()
            claimed_at: datetime = connection.execute(sa.text("select now()")).scalar_one()
            jobs = tuple(
                DueJob(job_id, due_at, token, interval, tuple(symbols))
                for job_id, due_at, interval, symbols in sorted(rows)
            )
            symbols = sorted({symbol for job in jobs for symbol in job.symbols})
            states = connection.execute(_STATES, {"provider": provider, "symbols": symbols})
            known = {symbol: _outcome(*state) for symbol, *state in states}
            quicker = self._quicker(connection, provider, jobs, symbols)
        return Claim(jobs, known, quicker, claimed_at)

    def _quicker(
        self, connection: sa.Connection, provider: str, jobs: Sequence[DueJob], symbols: Sequence[str]
    ) -> dict[str, int]:
        longest = max((job.interval_seconds for job in jobs), default=0)
        if longest <= 1:  # none is shorter
            return {}
        wanted = {"provider": provider, "symbols": symbols, "longest": longest}
        return {row[0]: row[1] for row in connection.execute(QUICKER, wanted)}

    def renew(self, jobs: Sequence[DueJob]) -> set[UUID]:
        """Extend the leases of `jobs`; return the ids of those still held."""
        if not jobs:
            return set()
        with transaction(self._engine) as connection:
            return set(connection.scalars(_RENEW, {**tokens(jobs), "lease": self._lease}))

    def release(self, jobs: Sequence[DueJob]) -> None:
        """Give up the leases of `jobs` that are still held, so that others need not wait; idempotent."""
        if jobs:
            with transaction(self._engine) as connection:
                connection.execute(_RELEASE, tokens(jobs))

    def orphaned(self, *, unseen: timedelta) -> list[str]:
        """Return the providers with due jobs that no poller had installed for `unseen`."""
        with transaction(self._engine) as connection:
            return list(connection.scalars(_ORPHANED, {"unseen": unseen}))


def tokens(jobs: Sequence[DueJob]) -> dict[str, list[UUID]]:
    """Return the parameters that identify the leases of `jobs`."""
    return {"jobs": [job.job_id for job in jobs], "tokens": [job.lease_token for job in jobs]}


def _outcome(asked_at: datetime, outcome: str, message: str | None) -> SymbolOutcome:
    if outcome in (Outcome.FRESH, Outcome.UNCHANGED):
        return SymbolOutcome(Outcome(outcome), asked_at)
    return SymbolOutcome(Outcome.FAILED, asked_at, outcome, message)
