"""What the launcher knows of the running service at one moment; facts only, no words."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One line of the table."""

    provider: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Price:
    """The latest price of a series as the API serves it, and its last change that was seen here."""

    series: Series
    price: Decimal
    timestamp: datetime
    age_seconds: float
    stale: bool
    market_state: str | None
    average: Decimal | None
    change: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Counters:
    """The ledgers' totals of the last day; `is_balanced` says that neither equation is off."""

    polls: int
    failed: int
    stored: int
    redelivered: int
    dead: int
    outbox_open: int
    is_balanced: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the API; `trouble` says why it is old or empty."""

    series: tuple[Series, ...] = ()
    prices: dict[Series, Price] = field(default_factory=dict)
    counters: Counters | None = None
    trouble: str | None = None
