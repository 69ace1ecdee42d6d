"""Jobs that do not keep what they promise, for everyone who watches the deployment.

A job promises the age of its prices: its slo's, else what `domain.staleness` derives from its
interval. Judged as there on `fetched_at`, in `latest_prices`, the end of the pipeline: whatever
holds a price up anywhere shows here, and a closed market does not.
"""

import sqlalchemy as sa

from marketdata.domain.staleness import GRACE_SECONDS, MISSED_POLLS
from marketdata.storage.engine import transaction

OTHER = "other"

# A job may name any provider; only those that some poller has installed are told by name.
_COUNT = sa.text(f"""
    select coalesce(providers.provider, '{OTHER}'),
      count(*) filter (where job.updated_at < now() - promise.age and exists (
        select from unnest(job.symbols) as asked (symbol)
        left join latest_prices as latest on latest.provider = job.provider and latest.symbol = asked.symbol
        where latest.fetched_at is null or latest.fetched_at < now() - promise.age))
    from polling_jobs as job
    cross join lateral (
      select make_interval(secs => coalesce(
        job.slo_max_age_seconds, {MISSED_POLLS} * job.interval_seconds + {GRACE_SECONDS})) as age
    ) as promise
    left join providers on providers.provider = job.provider
    where not job.suspended
    group by 1
""")


class PostgresStaleJobs:
    """Counts over all jobs, of every release and of the API."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def count(self) -> dict[str, int]:
        """Return, by provider, how many jobs have a price older than they promise; 0 is told too.

        A job younger than its own promise is not late yet, a suspended one promises nothing. Raises
        StoreUnavailable.
        """
        with transaction(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(_COUNT)}
