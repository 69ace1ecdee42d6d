"""The judging of promises about age, and what became of each.

Promises: every stretch of time is judged once, whoever judges it, by the rule of `domain.promise` in
one transaction that moves the clock too; a job's hours and days hold what was judged and nothing else.
Read is the truth of the pipeline's end, `latest_prices`, on the database's clock.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from marketdata.domain.average import WINDOW
from marketdata.domain.job import Slo
from marketdata.domain.promise import MONTH, ORDINARY_STRETCH, Kept, PromiseState, Standing, state
from marketdata.domain.staleness import GRACE_SECONDS, MISSED_POLLS
from marketdata.storage.engine import transaction

# A longer absence of every judge counts as its last day: what one statement has to do is bounded.
LONGEST_STRETCH = timedelta(days=1)

_TAKE = sa.text("""
    select judged_until, now() as until from promise_clock
    where judged_until <= now() - cast(:at_least as interval) for update skip locked
""")
_MOVE = sa.text("update promise_clock set judged_until = :until")

_JUDGE = sa.text(f"""
    with hours as (
      select hour, greatest(hour, :since) as since, least(hour + interval '1 hour', :until) as until
      from generate_series(date_trunc('hour', cast(:since as timestamptz), 'UTC'), :until,
        interval '1 hour') as hour
    ), promised as (
      select job.job_id, job.provider, job.slo_target, symbol, job.interval_seconds,
        schedule.awake_since + make_interval(secs => job.interval_seconds + {GRACE_SECONDS}) as covered_from,
        make_interval(secs => job.slo_max_age_seconds) as max_age
      from polling_jobs as job join polling_schedule as schedule using (job_id)
      cross join lateral unnest(job.symbols) as symbol
      where job.slo_max_age_seconds is not null and not job.suspended
    ), known as materialized (  -- else its cast is done anew wherever the times are used
      select promised.*,
        case when latest.observed_at is null then '{{}}' else latest.recent_times end::timestamptz[] as times,
        latest.observed_at as newest,
        latest.market_state = 'CLOSED' and latest.fetched_at >= :until
          - make_interval(secs => {MISSED_POLLS} * promised.interval_seconds + {GRACE_SECONDS}) as is_closed
      from promised left join latest_prices as latest using (provider, symbol)
    ), stretches as (
      select known.*, hour,
        case when cardinality(times) < {WINDOW} or :is_ordinary then greatest(since, covered_from)
          else greatest(since, covered_from, times[1]) end as start,
        case when is_closed then least(until, newest) else until end as ending
      from known cross join hours
    ), judged as (
      select job_id, provider, slo_target, hour,
        extract(epoch from ending - start) as counted,
        extract(epoch from case
            when cardinality(times) = 0 then ending - start
            when cardinality(times) < {WINDOW} then greatest(interval '0', least(times[1], ending) - start)
            else interval '0' end)
          + (select coalesce(sum(extract(epoch from greatest(interval '0',
                least(following, ending) - greatest(at + max_age, start)))), 0)
             from (select at, lead(at, 1, ending) over (order by at) as following
                   from unnest(times) as at) as gaps) as broken
      from stretches where ending > start
    ), of_jobs as (
      select job_id, provider, slo_target, hour, sum(counted) as counted, sum(counted - broken) as kept
      from judged group by job_id, provider, slo_target, hour
    ), written as (
      insert into promise_ledger as ledger (job_id, hour, counted, kept)
      select job_id, hour, counted, kept from of_jobs order by job_id, hour
      on conflict (job_id, hour) do update
        set counted = ledger.counted + excluded.counted, kept = ledger.kept + excluded.kept
    ), summed as (
      insert into promise_days as days (job_id, day, counted, kept)
      select job_id, date_trunc('day', hour, 'UTC') as day, sum(counted), sum(kept) from of_jobs
      group by job_id, day order by job_id, day
      on conflict (job_id, day) do update
        set counted = days.counted + excluded.counted, kept = days.kept + excluded.kept
    )
    select provider, cast(sum(kept) as double precision) as kept,
      cast(sum(counted - kept) as double precision) as broken,
      cast(sum(counted * (100 - cast(slo_target as numeric)) / 100) as double precision) as allowed
    from of_jobs group by provider
""")

# What is in the last 24 hours, counted whole, and the last 30 days of UTC; `job` is of polling_jobs.
STANDING_COLUMNS = """day.counted as day_counted, day.kept as day_kept,
    month.counted as month_counted, month.kept as month_kept"""
_DAY = """
    left join lateral (
      select sum(ledger.counted) as counted, sum(ledger.kept) as kept from promise_ledger as ledger
      where ledger.job_id = job.job_id and job.slo_max_age_seconds is not null
        and ledger.hour > now() - interval '1 day'
    ) as day on true
"""
_MONTH = f"""
    left join lateral (
      select sum(days.counted) as counted, sum(days.kept) as kept from promise_days as days
      where days.job_id = job.job_id and job.slo_max_age_seconds is not null
        and days.day > now() - interval '{MONTH.days} days'
    ) as month on true
"""
STANDING = _DAY + _MONTH
_MONTHS = sa.text(f"""
    select job.slo_max_age_seconds, job.slo_target, coalesce(month.counted, 0) as counted,
      coalesce(month.kept, 0) as kept
    from polling_jobs as job {_MONTH} where job.slo_max_age_seconds is not null
""")


@dataclass(frozen=True, slots=True)
class ProviderJudgement:
    """Symbol-seconds of one provider's jobs in one stretch; `allowed` is what targets allow to be broken."""

    provider: str
    kept: float
    broken: float
    allowed: float


class PostgresPromises:
    """Judges and reads promises; safe to use from several processes. Raises StoreUnavailable."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def judge(self, *, at_least: timedelta) -> list[ProviderJudgement] | None:
        """Judge all promises until now and return it by provider.

        None where less than `at_least` is not judged yet, or another process is at it. It does not
        wait; repeating it is safe, as the clock moves with what was judged.
        """
        with transaction(self._engine) as connection:
            taken = connection.execute(_TAKE, {"at_least": at_least}).one_or_none()
            if taken is None:
                return None
            found = self._judge(
                connection, max(taken.judged_until, taken.until - LONGEST_STRETCH), taken.until
            )
            connection.execute(_MOVE, {"until": taken.until})
        return found

    def states(self) -> Counter[PromiseState]:
        """Return how many jobs with a promise stand how."""
        with transaction(self._engine) as connection:
            return Counter(
                state(Slo(row.slo_max_age_seconds, row.slo_target), Kept(row.counted, row.kept))
                for row in connection.execute(_MONTHS)
            )

    def _judge(self, connection: sa.Connection, since: datetime, until: datetime) -> list[ProviderJudgement]:
        values = {"since": since, "until": until, "is_ordinary": until - since <= ORDINARY_STRETCH}
        return [ProviderJudgement(*row) for row in connection.execute(_JUDGE, values)]


def standing(row: sa.Row[tuple[object, ...]]) -> Standing:
    """Return the standing in one row of STANDING_COLUMNS."""
    return Standing(
        day=Kept(row.day_counted or 0.0, row.day_kept or 0.0),
        month=Kept(row.month_counted or 0.0, row.month_kept or 0.0),
    )
