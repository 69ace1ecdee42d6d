"""What the operator reads: the rows of its release as they stand, and how all their jobs fare.

Promises: one query each, whatever the number of jobs; rows of other releases and namespaces are not
seen. Freshness is judged on the database's clock and on `latest_prices`, the end of the pipeline, so
that a job counts as fresh only once its prices are served.
"""

from collections.abc import Collection

import sqlalchemy as sa

from marketdata.domain.job_status import OVERDUE_SECONDS, JobStatus, KnownJob
from marketdata.domain.staleness import GRACE_SECONDS, MISSED_POLLS
from marketdata.storage import job_views, promises
from marketdata.storage.engine import transaction

_STALE_SHOWN = 5

_MINE = """
    job.origin = 'kubernetes' and job.release = :release
    and (cast(:namespaces as text[]) is null or job.k8s_namespace = any(cast(:namespaces as text[])))
"""
_KNOWN = sa.text(f"""
    select job_id, k8s_uid, k8s_namespace, k8s_name, k8s_generation, k8s_poll_now, provider, interval_seconds,
      suspended, failure_threshold, slo_max_age_seconds, slo_target,
      encode(sha256(convert_to(array_to_string(symbols, ' '), 'UTF8')), 'hex') as symbols_digest
    from polling_jobs as job where {_MINE}
""")
_STATUSES = sa.text(f"""
    with mine as (
      select job.*,
        make_interval(secs => {MISSED_POLLS} * job.interval_seconds + {GRACE_SECONDS}) as stale_after
      from polling_jobs as job where {_MINE}
    ), asked as (
      select mine.job_id, asked.symbol,
        latest.fetched_at is not null and latest.fetched_at >= now() - mine.stale_after as is_fresh,
        latest.market_state is not distinct from 'CLOSED' as is_closed,
        state.last_success_at is not null and state.last_success_at >= now() - mine.stale_after as is_polled,
        coalesce(state.consecutive_failures, 0) > 0 as is_failing
      from mine cross join lateral unnest(mine.symbols) as asked (symbol)
      left join latest_prices as latest on latest.provider = mine.provider and latest.symbol = asked.symbol
      left join symbol_states as state on state.provider = mine.provider and state.symbol = asked.symbol
    ), counted as (
      select job_id,
        count(*) filter (where is_fresh) as fresh,
        count(*) filter (where is_fresh and is_closed) as closed,
        count(*) filter (where is_polled) as polled,
        count(*) filter (where is_failing) as failing_count,
        (array_agg(symbol order by symbol) filter (where not is_fresh))[1:{_STALE_SHOWN}] as stale
      from asked group by job_id
    )
    select job.job_id, job.k8s_uid, job.k8s_generation, job.provider,
      cardinality(job.symbols) as symbol_count, job.interval_seconds, job.suspended,
      job.failure_threshold,
      job.updated_at > now() - interval '{OVERDUE_SECONDS} seconds' as is_young,
      schedule.due_at,
      coalesce(schedule.due_at < now() - interval '{OVERDUE_SECONDS} seconds'
        and (schedule.lease_until is null or schedule.lease_until < now()), false) as is_overdue,
      state.last_poll_at, state.last_success_at, state.last_reason,
      coalesce(state.consecutive_failures, 0) as consecutive_failures,
      coalesce(state.failing, '{{}}') as failing,
      counted.fresh, counted.closed, counted.polled, counted.failing_count, counted.stale,
      job.slo_max_age_seconds, job.slo_target, {promises.STANDING_COLUMNS}
    from mine as job
    join counted using (job_id)
    left join polling_schedule as schedule using (job_id)
    left join job_states as state using (job_id)
    {promises.STANDING}
""")


class PostgresJobStatus:
    """Reads for one release; safe to use from several threads. Raises StoreUnavailable."""

    def __init__(self, engine: sa.Engine, *, release: str, namespaces: Collection[str] | None) -> None:
        """See rows of `release` whose objects live in `namespaces`, or in any where that is None."""
        self._engine = engine
        self._mine = {"release": release, "namespaces": None if namespaces is None else sorted(namespaces)}

    def known(self) -> dict[str, KnownJob]:
        """Return the rows by the uid of their object."""
        with transaction(self._engine) as connection:
            return {
                row.k8s_uid: KnownJob(
                    job_id=row.job_id,
                    uid=row.k8s_uid,
                    namespace=row.k8s_namespace,
                    name=row.k8s_name,
                    generation=row.k8s_generation,
                    poll_now=row.k8s_poll_now,
                    provider=row.provider,
                    interval_seconds=row.interval_seconds,
                    suspended=row.suspended,
                    failure_threshold=row.failure_threshold,
                    slo=job_views.slo(row.slo_max_age_seconds, row.slo_target),
                    symbols_digest=row.symbols_digest,
                )
                for row in connection.execute(_KNOWN, self._mine)
            }

    def statuses(self) -> dict[str, JobStatus]:
        """Return how each job fares, by the uid of its object."""
        with transaction(self._engine) as connection:
            return {
                row.k8s_uid: JobStatus(
                    job_id=row.job_id,
                    uid=row.k8s_uid,
                    generation=row.k8s_generation,
                    provider=row.provider,
                    symbol_count=row.symbol_count,
                    interval_seconds=row.interval_seconds,
                    suspended=row.suspended,
                    failure_threshold=row.failure_threshold,
                    is_young=row.is_young,
                    due_at=row.due_at,
                    is_overdue=row.is_overdue,
                    last_poll_at=row.last_poll_at,
                    last_success_at=row.last_success_at,
                    consecutive_failures=row.consecutive_failures,
                    last_reason=row.last_reason,
                    fresh=row.fresh,
                    closed=row.closed,
                    polled=row.polled,
                    failing_count=row.failing_count,
                    stale=tuple(row.stale or ()),
                    failing=row.failing,
                    slo=job_views.slo(row.slo_max_age_seconds, row.slo_target),
                    standing=promises.standing(row),
                )
                for row in connection.execute(_STATUSES, self._mine)
            }
