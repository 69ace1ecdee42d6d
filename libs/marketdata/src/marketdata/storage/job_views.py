"""Jobs with how they fare, as the API, the launcher and the operator show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marketdata.domain.job import KubernetesOrigin, PollingJob, Slo
from marketdata.domain.promise import Standing
from marketdata.storage import promises
from marketdata.storage.storable import storable

COLUMNS = f"""
    job.job_id, job.origin, job.release, job.k8s_uid, job.k8s_namespace, job.k8s_name, job.k8s_generation,
    job.k8s_poll_now,
    job.symbols, job.provider, job.interval_seconds, job.suspended, job.slo_max_age_seconds, job.slo_target,
    job.failure_threshold, job.created_at, job.updated_at, schedule.due_at, state.last_poll_at,
    state.last_success_at, coalesce(state.consecutive_failures, 0) as consecutive_failures,
    state.last_reason, coalesce(state.failing, '{{}}') as failing,
    {promises.STANDING_COLUMNS}
"""
SOURCE = f"""
    polling_jobs as job
    left join polling_schedule as schedule using (job_id)
    left join job_states as state using (job_id)
    {promises.STANDING}
"""

GET = sa.text(f"select {COLUMNS} from {SOURCE} where job.job_id = :job_id")

# Keyset paging in the order of creation: a page never shifts because of jobs made or removed.
PAGE = sa.text(f"""
    select {COLUMNS} from {SOURCE}
    where (cast(:after_at as timestamptz) is null
           or (job.created_at, job.job_id) > (cast(:after_at as timestamptz), cast(:after_id as uuid)))
      and (cast(:provider as text) is null or job.provider = :provider)
      and (cast(:symbol as text) is null or job.symbols @> array[cast(:symbol as text)])
      and (cast(:suspended as boolean) is null or job.suspended = :suspended)
    order by job.created_at, job.job_id limit :limit
""")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, when it is next due, and how its polls went.

    `due_at` is None while it is suspended. `failing` has at most 20 symbols, each with `reason`,
    `message` and `since`. `standing` is how the job's promise, if it has one, is kept.
    """

    job: PollingJob
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    last_poll_at: datetime | None
    last_success_at: datetime | None
    consecutive_failures: int
    last_reason: str | None
    failing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)


def view(row: sa.Row[Any]) -> JobView:
    """Return the view of one row of COLUMNS."""
    return JobView(
        job=PollingJob(
            job_id=row.job_id,
            symbols=tuple(row.symbols),
            provider=row.provider,
            interval_seconds=row.interval_seconds,
            suspended=row.suspended,
            slo=slo(row.slo_max_age_seconds, row.slo_target),
            failure_threshold=row.failure_threshold,
            origin=None
            if row.origin == "api"
            else KubernetesOrigin(
                row.release,
                row.k8s_uid,
                row.k8s_namespace,
                row.k8s_name,
                row.k8s_generation,
                row.k8s_poll_now,
            ),
            created_at=row.created_at,
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
        due_at=row.due_at,
        last_poll_at=row.last_poll_at,
        last_success_at=row.last_success_at,
        consecutive_failures=row.consecutive_failures,
        last_reason=row.last_reason,
        failing=row.failing,
        standing=promises.standing(row),
    )


def slo(max_age_seconds: int | None, target: str | None) -> Slo | None:
    if max_age_seconds is None or target is None:
        return None
    return Slo(max_age_seconds, target)


def values(job: PollingJob) -> dict[str, Any]:
    """Return the columns of `polling_jobs` that say what `job` wishes.

    What has no grammar of its own is made storable, as one job that is not would keep a whole sync out. An
    object's uid is left as it is: rows are found by it, and Kubernetes makes it.
    """
    origin = job.origin
    poll_now = origin.poll_now if origin else None
    return {
        "job_id": job.job_id,
        "origin": "kubernetes" if origin else "api",
        "release": origin.release if origin else None,
        "k8s_uid": origin.uid if origin else None,
        "k8s_namespace": storable(origin.namespace) if origin else None,
        "k8s_name": storable(origin.name) if origin else None,
        "k8s_generation": origin.generation if origin else None,
        "k8s_poll_now": None if poll_now is None else storable(poll_now),
        "symbols": list(job.symbols),
        "provider": job.provider,
        "interval_seconds": job.interval_seconds,
        "suspended": job.suspended,
        "slo_max_age_seconds": job.slo.max_age_seconds if job.slo else None,
        "slo_target": job.slo.target if job.slo else None,
        "failure_threshold": job.failure_threshold,
    }
