"""What a provider answered: the bytes as received, and what they say, symbol by symbol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from marketdata.errors import MarketDataError


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One upstream HTTP answer (or its like) exactly as received.

    `raw_response_id` is a UUIDv7 of `fetched_at`, made here; every event, price and API answer
    that came from these bytes carries it. `url` and `headers` hold no secret.
    """

    raw_response_id: UUID
    provider: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    symbols: tuple[str, ...]
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Quote:
    """What an answer says of one symbol; `observed_at` is the provider's clock, aware UTC.

    `market_state` is REGULAR, PRE, POST or CLOSED where the provider tells it.
    """

    symbol: str
    price: Decimal
    observed_at: datetime
    currency: str | None = None
    market_state: str | None = None
    delayed_by_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one raw answer says: a quote or an error for each symbol it speaks of."""

    quotes: Mapping[str, Quote] = field(default_factory=dict)
    failures: Mapping[str, MarketDataError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one fetch: all raw answers received, and an outcome for every symbol asked.

    `quotes` maps a symbol to its quote and to the id of the raw answer it was read from. Each
    symbol asked is in exactly one of `quotes` and `failures`.
    """

    raws: tuple[RawResponse, ...]
    quotes: Mapping[str, tuple[Quote, UUID]]
    failures: Mapping[str, MarketDataError]
