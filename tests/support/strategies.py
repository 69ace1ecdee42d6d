"""Hypothesis strategies for the values of the domain."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from marketdata.domain.price import MAX_AHEAD, PricePoint
from marketdata.domain.symbol import ANY_PROVIDER, SYMBOL_MAX_LENGTH

symbols = st.from_regex(r"[A-Z0-9^][A-Z0-9.=^-]{0,31}", fullmatch=True).filter(
    lambda text: len(text) <= SYMBOL_MAX_LENGTH
)
providers = st.from_regex(r"[a-z0-9]([-_a-z0-9]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda text: text != ANY_PROVIDER
)
instants = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(2199, 12, 31),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
# Every price that can be stored exactly: up to 15 digits before and 12 after the point.
prices = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1),
    st.integers(min_value=0, max_value=12),
)
price_points = st.builds(
    PricePoint,
    provider=providers,
    symbol=symbols,
    observed_at=instants,
    price=prices,
    currency=st.none() | st.sampled_from(["USD", "EUR", "GBp", "JPY"]),
    fetched_at=instants,
    raw_response_id=st.uuids(),
    market_state=st.none() | st.sampled_from(["REGULAR", "PRE", "POST", "CLOSED"]),
    delayed_by_seconds=st.none() | st.integers(0, 86_400),
    interval_seconds=st.none() | st.integers(1, 86_400),
).filter(lambda point: point.observed_at - point.fetched_at <= MAX_AHEAD)
