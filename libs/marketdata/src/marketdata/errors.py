"""The one tree of errors.

Every boundary translates foreign exceptions into it in one place, and everything that is shown
elsewhere (HTTP problems, dead-letter reasons, outcome labels, conditions) is a rendering of it.

    MarketDataError
    ├── Transient               may succeed if tried again, perhaps after `retry_after`
    │   ├── RateLimited         the provider said: too many requests
    │   ├── Blocked             the provider refuses this caller (401, 403, 999, a page instead of data)
    │   ├── UpstreamUnavailable the provider failed (5xx, connection refused or cut)
    │   ├── UpstreamTimeout     no complete answer within the deadline
    │   ├── BadResponse         an answer that cannot be read as the documented shape
    │   ├── BudgetExhausted     the deployment's own request budget has nothing left in time
    │   ├── BreakerOpen         the provider's breaker is open
    │   ├── StoreUnavailable    Postgres cannot be reached, or dropped the connection
    │   │   ├── StoreTimeout    one call took too long; Postgres may be well
    │   │   └── StoreRefused    Postgres answers, and cannot do it now: read-only, a full disk, a deadlock
    │   ├── CacheUnavailable    Redis cannot be reached
    │   └── StreamUnavailable   Kafka cannot be reached
    └── Permanent               will fail again until something else changes
        ├── UnknownSymbol       the provider does not know the symbol
        ├── NoData              the provider knows the symbol and has no price for it
        ├── UnknownProvider     no provider of that name is installed
        ├── InvalidInput        a value breaks a documented rule; names the field
        ├── Misconfigured       a setting is missing or malformed; names the setting
        ├── PoisonMessage       a message that can never become a price point
        ├── Fenced              the lease or position this work rests on is someone else's now
        └── SchemaMismatch      the database's schema does not fit this release
"""

from datetime import timedelta


class MarketDataError(Exception):
    """Something in the market-data service failed."""

    @property
    def reason(self) -> str:
        """The stable, snake_case name shown in labels, ledgers and dead letters."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class Transient(MarketDataError):
    """The same call may succeed later."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(MarketDataError):
    """The same call will fail again until something else changes."""


class RateLimited(Transient):
    """The provider answered that there were too many requests."""


class Blocked(Transient):
    """The provider refuses to serve this caller."""


class UpstreamUnavailable(Transient):
    """The provider failed to answer."""


class UpstreamTimeout(Transient):
    """The provider did not answer within the deadline."""


class BadResponse(Transient):
    """The provider's answer does not have the documented shape."""


class BudgetExhausted(Transient):
    """The request budget of the provider has nothing left in time."""


class BreakerOpen(Transient):
    """The provider's breaker is open; no request was sent."""


class StoreUnavailable(Transient):
    """The database cannot be reached."""


class StoreTimeout(StoreUnavailable):
    """The database did not answer in time."""


class StoreRefused(StoreUnavailable):
    """The database answers, and cannot do it now."""


class CacheUnavailable(Transient):
    """The cache cannot be reached."""


class StreamUnavailable(Transient):
    """Kafka cannot be reached."""


class UnknownSymbol(Permanent):
    """The provider does not know this symbol."""


class NoData(Permanent):
    """The provider has no price for this symbol."""


class UnknownProvider(Permanent):
    """No provider of this name is installed."""


class InvalidInput(Permanent):
    """A value breaks a documented rule."""

    def __init__(self, message: str = "", *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Misconfigured(Permanent):
    """A setting is missing or malformed."""


class PoisonMessage(Permanent):
    """The message can never become a price point."""


class Fenced(Permanent):
    """The lease or position this work rests on belongs to someone else now."""


class SchemaMismatch(Permanent):
    """The database's schema does not fit this release."""
