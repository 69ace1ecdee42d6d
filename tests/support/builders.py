"""Values with valid defaults: a test names only what matters to it."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from marketdata.clock import SystemClock
from marketdata.domain.answer import Quote, RawResponse
from marketdata.domain.job import KubernetesOrigin, PollingJob, Slo
from marketdata.domain.price import PricePoint
from marketdata.domain.schedule import next_tick
from marketdata.identifiers import uuid7

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the instant `seconds` after NOON."""
    return NOON + timedelta(seconds=seconds)


def a_price(
    *,
    symbol: str = "AAPL",
    provider: str = "synthetic",
    price: str | Decimal = "231.5",
    observed_at: datetime = NOON,
    fetched_at: datetime | None = None,
    raw_response_id: uuid.UUID | None = None,
    currency: str | None = "USD",
    market_state: str | None = "REGULAR",
    delayed_by_seconds: int | None = 0,
    interval_seconds: int | None = 60,
) -> PricePoint:
    fetched = fetched_at or observed_at + timedelta(seconds=1)
    return PricePoint(
        provider=provider,
        symbol=symbol,
        observed_at=observed_at,
        price=Decimal(price),
        currency=currency,
        fetched_at=fetched,
        raw_response_id=raw_response_id or uuid7(fetched),
        market_state=market_state,
        delayed_by_seconds=delayed_by_seconds,
        interval_seconds=interval_seconds,
    )


def a_job(
    *symbols: str,
    provider: str = "synthetic",
    interval_seconds: int = 60,
    job_id: uuid.UUID | None = None,
    suspended: bool = False,
    slo: Slo | None = None,
    failure_threshold: int = 3,
    origin: KubernetesOrigin | None = None,
) -> PollingJob:
    return PollingJob(
        job_id=job_id or uuid.uuid4(),
        symbols=symbols or ("AAPL",),
        provider=provider,
        interval_seconds=interval_seconds,
        suspended=suspended,
        slo=slo,
        failure_threshold=failure_threshold,
        origin=origin,
    )


def a_seldom_interval(provider: str, *, below: int = 86_401) -> int:
    """Return an interval in seconds for a job that is polled once, at its start, and not for an hour after.

    Due times lie on a grid of the clock: with an interval written down, one may come while a test runs.
    """
    now = SystemClock().now()
    return next(
        seconds
        for seconds in range(below - 1, 0, -1)
        if next_tick(now, provider=provider, interval_seconds=seconds) - now > timedelta(hours=1)
    )


def an_origin(
    name: str = "tech",
    *,
    release: str = "demo",
    uid: str | None = None,
    namespace: str = "default",
    generation: int = 1,
) -> KubernetesOrigin:
    return KubernetesOrigin(release, uid or str(uuid.uuid4()), namespace, name, generation)


def a_quote(
    symbol: str = "AAPL",
    price: str | Decimal = "231.5",
    *,
    observed_at: datetime = NOON,
    currency: str | None = "USD",
    market_state: str | None = "REGULAR",
    delayed_by_seconds: int | None = 0,
) -> Quote:
    return Quote(symbol, Decimal(price), observed_at, currency, market_state, delayed_by_seconds)


def a_raw(
    symbols: Sequence[str] = ("AAPL",),
    *,
    provider: str = "synthetic",
    body: bytes = b"{}",
    status: int = 200,
    fetched_at: datetime = NOON,
    url: str = "https://quotes.example/v7",
) -> RawResponse:
    return RawResponse(
        raw_response_id=uuid7(fetched_at),
        provider=provider,
        url=url,
        status=status,
        headers={"content-type": "application/json"},
        body=body,
        symbols=tuple(symbols),
        fetched_at=fetched_at,
    )
