"""The request budget of a provider: one token bucket for the whole deployment.

Pods behind one address share an upstream's limit, so limits of their own would be wrong. The
bucket is refilled and drained by the database's clock in a single statement, so it needs no lock
longer than that. A clock that goes back costs what had filled since, and brings nothing.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from marketdata.storage.engine import transaction

# A few tokens may come back if the database crashes; waiting for its disk at each request would
# cost more than that.
_RELAXED = sa.text("set local synchronous_commit = off")

_REGISTER = sa.text("""
    insert into providers (provider) select unnest(cast(:providers as text[])) as provider order by provider
    on conflict (provider) do update set seen_at = now()
""")

_FILLED = (
    "least(cast(:burst as float8), tokens + :per_second"
    " * greatest(0, cast(extract(epoch from clock_timestamp() - refilled_at) as float8)))"
)
_TAKE = sa.text(f"""
    update providers set tokens = {_FILLED} - :cost, refilled_at = clock_timestamp(),
      requests = requests + :cost
    where provider = :provider and {_FILLED} >= :cost
    returning tokens
""")
# Where the clock went back, nothing would fill until it is again where the bucket was last filled.
_LEFT = sa.text(f"""
    with set_back as (
      update providers set refilled_at = clock_timestamp()
      where provider = :provider and refilled_at > clock_timestamp()
    )
    select {_FILLED} from providers where provider = :provider
""")


@dataclass(frozen=True, slots=True)
class Bucket:
    """How a provider's budget fills: `burst` is the most it holds, in requests."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Taken:
    """`granted`, with `left` tokens remaining; else the seconds until the cost could be met."""

    granted: bool
    left: float
    wait_seconds: float = 0.0


class PostgresBudget:
    """The budgets in `providers`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def register(self, providers: list[str]) -> None:
        """Say that this process has `providers` installed; idempotent, and repeated to stay known."""
        with transaction(self._engine) as connection:
            connection.execute(_REGISTER, {"providers": providers})

    def take(self, provider: str, bucket: Bucket, *, cost: int = 1) -> Taken:
        """Take `cost` requests at once or not at all; never waits. `provider` must be registered."""
        values = {"provider": provider, "per_second": bucket.per_second, "burst": bucket.burst, "cost": cost}
        with transaction(self._engine) as connection:
            connection.execute(_RELAXED)
            left = connection.scalar(_TAKE, values)
            if left is not None:
                return Taken(granted=True, left=left)
            left = connection.scalar(_LEFT, values)
        if left is None:
            self.register([provider])
            return Taken(granted=False, left=0.0, wait_seconds=1 / bucket.per_second)
        return Taken(granted=False, left=left, wait_seconds=max(0.0, cost - left) / bucket.per_second)
