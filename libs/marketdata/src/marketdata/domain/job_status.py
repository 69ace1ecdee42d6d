"""Polling jobs as the operator sees them: what a row says, and how its job fares."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketdata.domain.job import PollingJob, Slo
from marketdata.domain.promise import Standing

# A tick that nobody has claimed for this long is overdue: no poller runs, or none has the provider.
OVERDUE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A row of `polling_jobs` as it is compared with the object it came from."""

    job_id: UUID = field(compare=False)
    uid: str
    namespace: str
    name: str
    generation: int
    poll_now: str | None
    provider: str
    interval_seconds: int
    suspended: bool
    failure_threshold: int
    slo: Slo | None
    symbols_digest: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job fares. `generation` is that of the object whose spec the row carries.

    `fresh` symbols are served and current, `closed` of them in a closed market; `polled` ones got a
    price from the provider within the time that counts as current; `stale` names up to five others.
    `is_young` within half a minute of a change, `is_overdue` where nobody claims a due tick.
    `failing` has at most 20 symbols, each with `reason`, `message` and `since`. `standing` is how `slo`,
    the job's promise, is kept.
    """

    job_id: UUID
    uid: str
    generation: int
    provider: str
    symbol_count: int
    interval_seconds: int
    suspended: bool
    failure_threshold: int
    is_young: bool
    due_at: datetime | None
    is_overdue: bool
    last_poll_at: datetime | None
    last_success_at: datetime | None
    consecutive_failures: int
    last_reason: str | None
    fresh: int
    closed: int
    polled: int
    failing_count: int
    stale: tuple[str, ...] = ()
    failing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    slo: Slo | None = None
    standing: Standing = field(default_factory=Standing)


def as_known(job: PollingJob) -> KnownJob:
    """Return what the row of `job` reads as; `job` comes from an object."""
    origin = job.origin
    if origin is None:
        raise ValueError(f"job {job.job_id} comes from no object")
    return KnownJob(
        job_id=job.job_id,
        uid=origin.uid,
        namespace=origin.namespace,
        name=origin.name,
        generation=origin.generation,
        poll_now=origin.poll_now,
        provider=job.provider,
        interval_seconds=job.interval_seconds,
        suspended=job.suspended,
        failure_threshold=job.failure_threshold,
        slo=job.slo,
        symbols_digest=hashlib.sha256(" ".join(job.symbols).encode()).hexdigest(),
    )
