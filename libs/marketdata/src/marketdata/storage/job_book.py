"""The wishes: polling jobs as they are made, changed and removed.

Promises: a job and its place in the schedule change in one transaction; a new or resumed job is due
at once; what a PollingJob object says can only be changed through that object. A request repeated
under its idempotency key makes one job.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.job import PollingJob
from marketdata.errors import Fenced, InvalidInput
from marketdata.storage import job_sync, job_views
from marketdata.storage.engine import transaction
from marketdata.storage.job_sync import SyncCounts
from marketdata.storage.job_views import JobView

__all__ = ["JobView", "PostgresJobBook", "SyncCounts"]

_INSERT = sa.text("""
    insert into polling_jobs (job_id, origin, release, k8s_uid, k8s_namespace, k8s_name, k8s_generation,
      k8s_poll_now, symbols, provider, interval_seconds, suspended, slo_max_age_seconds, slo_target,
      failure_threshold)
    values (:job_id, :origin, :release, :k8s_uid, :k8s_namespace, :k8s_name, :k8s_generation,
      :k8s_poll_now, :symbols, :provider, :interval_seconds, :suspended, :slo_max_age_seconds, :slo_target,
      :failure_threshold)
    returning created_at
""")
_STATE = sa.text("insert into job_states (job_id) values (:job_id)")
_SCHEDULE = sa.text("""
    insert into polling_schedule (job_id, provider, due_at) values (:job_id, :provider, now())
    on conflict (job_id) do nothing
""")
_UNSCHEDULE = sa.text("delete from polling_schedule where job_id = :job_id")
_SUSPEND = sa.text("""
    update polling_jobs set suspended = :suspended, updated_at = now()
    where job_id = :job_id and suspended <> :suspended
""")
_LOCK = sa.text("""
    select origin, k8s_namespace, k8s_name, provider from polling_jobs where job_id = :job_id for update
""")
_DELETE = sa.text("delete from polling_jobs where job_id = :job_id")

# Later than a tick that is being served now, so that its completion does not swallow the wish.
_POLL_NOW = sa.text("""
    update polling_schedule set due_at = case
      when lease_token is not null then greatest(clock_timestamp(), due_at + interval '1 microsecond')
      else least(due_at, clock_timestamp()) end
    where job_id = :job_id
""")

_KEY_EXPIRE = sa.text("""
    delete from idempotency_keys where key = :key and created_at < now() - interval '24 hours'
""")
_KEY_TAKE = sa.text("""
    insert into idempotency_keys (key, body_digest, job_id, response)
    values (:key, :digest, :job_id, :response)
    on conflict (key) do nothing returning job_id
""").bindparams(sa.bindparam("response", type_=sa.JSON))
_KEY_READ = sa.text("select body_digest, job_id, response, created_at from idempotency_keys where key = :key")


class PostgresJobBook:
    """`polling_jobs` and what hangs on it; safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(self, job: PollingJob, *, idempotency: tuple[str, bytes] | None = None) -> PollingJob:
        """Store `job`, due at once, and return it with its time of creation.

        `idempotency` is the request's key and the digest of its body: a second call with the same
        pair within 24 h returns the first call's job and stores nothing; with another body it
        raises InvalidInput naming Idempotency-Key.
        """
        with transaction(self._engine) as connection:
            if idempotency is not None and (earlier := self._earlier(connection, job, *idempotency)):
                return earlier
            created_at = connection.scalar(_INSERT, job_views.values(job))
            connection.execute(_STATE, {"job_id": job.job_id})
            if not job.suspended:
                connection.execute(_SCHEDULE, {"job_id": job.job_id, "provider": job.provider})
        return replace(job, created_at=created_at)

    def get(self, job_id: UUID) -> JobView | None:
        """Return the job and how it fares, or None where there is none."""
        with transaction(self._engine) as connection:
            row = connection.execute(job_views.GET, {"job_id": job_id}).one_or_none()
        return job_views.view(row) if row else None

    def page(
        self,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None = None,
        provider: str | None = None,
        symbol: str | None = None,
        suspended: bool | None = None,
    ) -> list[JobView]:
        """Return up to `limit` jobs in order of creation, those after (created_at, job_id) `after`."""
        after_at, after_id = after or (None, None)
        with transaction(self._engine) as connection:
            rows = connection.execute(
                job_views.PAGE,
                {
                    "limit": limit,
                    "after_at": after_at,
                    "after_id": after_id,
                    "provider": provider,
                    "symbol": symbol,
                    "suspended": suspended,
                },
            )
            return [job_views.view(row) for row in rows]

    def delete(self, job_id: UUID) -> bool:
        """Remove the job; a poll under way becomes void. False where there is none.

        Raises Fenced for a job that a PollingJob object owns. Points and ledgers stay.
        """
        with transaction(self._engine) as connection:
            if self._own(connection, job_id) is None:
                return False
            connection.execute(_DELETE, {"job_id": job_id})
        return True

    def set_suspended(self, job_id: UUID, suspended: bool) -> JobView | None:  # noqa: FBT001 - the value is the verb's object
        """Suspend the job, or resume it and make it due at once; idempotent. None where there is none.

        Raises Fenced for a job that a PollingJob object owns.
        """
        with transaction(self._engine) as connection:
            provider = self._own(connection, job_id)
            if provider is None:
                return None
            connection.execute(_SUSPEND, {"job_id": job_id, "suspended": suspended})
            if suspended:
                connection.execute(_UNSCHEDULE, {"job_id": job_id})
            else:
                connection.execute(_SCHEDULE, {"job_id": job_id, "provider": provider})
            return job_views.view(connection.execute(job_views.GET, {"job_id": job_id}).one())

    def poll_now(self, job_id: UUID) -> bool:
        """Make the job due at once, beside its grid; False where it does not exist or is suspended."""
        with transaction(self._engine) as connection:
            return connection.execute(_POLL_NOW, {"job_id": job_id}).rowcount > 0

    def sync(self, release: str, jobs: Sequence[PollingJob], *, retire: Sequence[str] = ()) -> SyncCounts:
        """Bring the rows of `release` in line with its objects: `jobs` as they are, `retire` (uids) gone.

        Writes only what changed, in a few statements however many jobs there are; idempotent. Rows of
        other releases and objects named in neither are left alone.
        """
        with transaction(self._engine) as connection:
            return job_sync.sync(connection, release, jobs, retire)

    def _own(self, connection: sa.Connection, job_id: UUID) -> str | None:
        row = connection.execute(_LOCK, {"job_id": job_id}).one_or_none()
        if row is None:
            return None
        if row.origin == "kubernetes":
            name = f"{row.k8s_namespace}/{row.k8s_name}"
            raise Fenced(f"this job belongs to the PollingJob {name}; change it with kubectl")
        provider: str = row.provider
        return provider

    def _earlier(
        self, connection: sa.Connection, job: PollingJob, key: str, digest: bytes
    ) -> PollingJob | None:
        connection.execute(_KEY_EXPIRE, {"key": key})
        taken = connection.scalar(
            _KEY_TAKE, {"key": key, "digest": digest, "job_id": job.job_id, "response": _remembered(job)}
        )
        if taken is not None:
            return None
        row = connection.execute(_KEY_READ, {"key": key}).one()
        if bytes(row.body_digest) != digest:
            raise InvalidInput(
                "this Idempotency-Key was used for a request with another body", field="Idempotency-Key"
            )
        return _recalled(row)


def _remembered(job: PollingJob) -> dict[str, Any]:
    """Return what is needed to answer a repeated request, even after the job is gone."""
    return {
        "symbols": list(job.symbols),
        "provider": job.provider,
        "interval_seconds": job.interval_seconds,
        "suspended": job.suspended,
        "slo": [job.slo.max_age_seconds, job.slo.target] if job.slo else None,
        "failure_threshold": job.failure_threshold,
    }


def _recalled(row: sa.Row[Any]) -> PollingJob:
    kept = row.response
    return PollingJob(
        job_id=row.job_id,
        symbols=tuple(kept["symbols"]),
        provider=kept["provider"],
        interval_seconds=kept["interval_seconds"],
        suspended=kept["suspended"],
        slo=job_views.slo(*kept["slo"]) if kept["slo"] else None,
        failure_threshold=kept["failure_threshold"],
        created_at=row.created_at,
    )
