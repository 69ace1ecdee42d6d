"""Bringing the rows of one release in line with its PollingJob objects, in bulk.

A row is an object's by (release, uid), so an object deleted and made again under its name is
another job. Only rows that differ are written. A change of what is asked, or of the poll-now
annotation, makes the job due at once; a change of provider voids a poll under way, whose answer would
belong to another schedule.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from marketdata.domain.job import PollingJob
from marketdata.storage import job_views

_UPSERT = sa.text("""
    with new as (
      select * from jsonb_to_recordset(cast(:jobs as jsonb)) as new (
        job_id uuid, k8s_uid text, k8s_namespace text, k8s_name text, k8s_generation bigint,
        k8s_poll_now text, symbols text[], provider text, interval_seconds integer, suspended boolean,
        slo_max_age_seconds integer,
        slo_target text, failure_threshold integer)
    ), before as materialized (
      select job.* from polling_jobs as job join new using (k8s_uid)
      where job.release = :release and job.origin = 'kubernetes'
      order by job.job_id for update of job
    ), written as (
      insert into polling_jobs as job (job_id, origin, release, k8s_uid, k8s_namespace, k8s_name,
        k8s_generation, k8s_poll_now, symbols, provider, interval_seconds, suspended, slo_max_age_seconds,
        slo_target, failure_threshold)
      select job_id, 'kubernetes', :release, k8s_uid, k8s_namespace, k8s_name, k8s_generation, k8s_poll_now,
        symbols, provider, interval_seconds, suspended, slo_max_age_seconds, slo_target, failure_threshold
      from new
      where (select count(*) from before) >= 0
      on conflict (release, k8s_uid) where origin = 'kubernetes' do update set
        k8s_namespace = excluded.k8s_namespace, k8s_name = excluded.k8s_name,
        k8s_generation = excluded.k8s_generation, k8s_poll_now = excluded.k8s_poll_now,
        symbols = excluded.symbols, provider = excluded.provider,
        interval_seconds = excluded.interval_seconds, suspended = excluded.suspended,
        slo_max_age_seconds = excluded.slo_max_age_seconds, slo_target = excluded.slo_target,
        failure_threshold = excluded.failure_threshold, updated_at = now()
      where (job.k8s_namespace, job.k8s_name, job.k8s_generation, job.k8s_poll_now, job.symbols, job.provider,
             job.interval_seconds, job.suspended, job.slo_max_age_seconds, job.slo_target,
             job.failure_threshold)
        is distinct from
            (excluded.k8s_namespace, excluded.k8s_name, excluded.k8s_generation, excluded.k8s_poll_now,
             excluded.symbols, excluded.provider, excluded.interval_seconds, excluded.suspended,
             excluded.slo_max_age_seconds, excluded.slo_target, excluded.failure_threshold)
      returning job.job_id, job.provider, job.symbols, job.interval_seconds, job.suspended,
        job.k8s_poll_now
    )
    select written.job_id, written.provider, written.suspended, before.job_id is null as is_new,
      before.job_id is not null and before.provider <> written.provider as is_moved,
      before.job_id is null or (before.symbols, before.provider, before.interval_seconds)
        is distinct from (written.symbols, written.provider, written.interval_seconds)
        or written.k8s_poll_now is distinct from before.k8s_poll_now and written.k8s_poll_now is not null
        as is_changed
    from written left join before using (job_id)
    order by written.job_id
""")
_STATES = sa.text("insert into job_states (job_id) select unnest(cast(:jobs as uuid[]))")
# As the recorders of outcomes do it: in the order of the jobs, before any of them is touched.
_LOCK_SCHEDULE = sa.text("""
    select schedule.job_id from polling_schedule as schedule join polling_jobs as job using (job_id)
    where schedule.job_id = any(:jobs)
      or (job.origin = 'kubernetes' and job.release = :release and job.k8s_uid = any(:uids))
    order by schedule.job_id for update of schedule
""")
_UNSCHEDULE = sa.text("delete from polling_schedule where job_id = any(:jobs)")
_SCHEDULE = sa.text("""
    insert into polling_schedule as schedule (job_id, provider, due_at)
    select job_id, provider, now() from unnest(cast(:jobs as uuid[]), cast(:providers as text[]),
      cast(:changed as boolean[]), cast(:moved as boolean[])) as new (job_id, provider, is_changed, is_moved)
    order by job_id
    on conflict (job_id) do nothing
""")
_RESCHEDULE = sa.text("""
    update polling_schedule as schedule set provider = new.provider,
      due_at = case when is_moved or schedule.lease_token is null then clock_timestamp()
        else greatest(clock_timestamp(), schedule.due_at + interval '1 microsecond') end,
      lease_owner = case when is_moved then null else lease_owner end,
      lease_token = case when is_moved then null else lease_token end,
      lease_until = case when is_moved then null else lease_until end
    from unnest(cast(:jobs as uuid[]), cast(:providers as text[]), cast(:changed as boolean[]),
      cast(:moved as boolean[])) as new (job_id, provider, is_changed, is_moved)
    where schedule.job_id = new.job_id and new.is_changed
""")
_RETIRE = sa.text("""
    delete from polling_jobs where origin = 'kubernetes' and release = :release and k8s_uid = any(:uids)
""")


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """What a sync did to the rows of its release."""

    created: int
    changed: int
    unchanged: int
    retired: int


def sync(
    connection: sa.Connection, release: str, jobs: Sequence[PollingJob], retire: Sequence[str]
) -> SyncCounts:
    """Apply `jobs` and remove `retire` in the caller's transaction."""
    foreign = [job.job_id for job in jobs if job.origin is None or job.origin.release != release]
    if foreign:
        raise ValueError(f"job {foreign[0]} does not come from release {release}")
    written = []
    if jobs:
        documents = [{**job_views.values(job), "job_id": str(job.job_id)} for job in jobs]
        written = list(connection.execute(_UPSERT, {"release": release, "jobs": json.dumps(documents)}))
    created = [row.job_id for row in written if row.is_new]
    if created:
        connection.execute(_STATES, {"jobs": created})
    touched = [row.job_id for row in written]
    if touched or retire:
        connection.execute(_LOCK_SCHEDULE, {"release": release, "jobs": touched, "uids": list(retire)})
    asleep = [row.job_id for row in written if row.suspended]
    if asleep:
        connection.execute(_UNSCHEDULE, {"jobs": asleep})
    awake = [row for row in written if not row.suspended]
    if awake:
        values = {
            "jobs": [row.job_id for row in awake],
            "providers": [row.provider for row in awake],
            "changed": [row.is_changed and not row.is_new for row in awake],
            "moved": [row.is_moved for row in awake],
        }
        connection.execute(_SCHEDULE, values)
        connection.execute(_RESCHEDULE, values)
    retired = (
        connection.execute(_RETIRE, {"release": release, "uids": list(retire)}).rowcount if retire else 0
    )
    return SyncCounts(
        created=len(created),
        changed=len(written) - len(created),
        unchanged=len(jobs) - len(written),
        retired=retired,
    )
