"""Prices and the order among answers that speak of the same instant.

A point's identity is (provider, symbol, observed_at). Of several answers for one identity the
one with the greatest rank wins, also at an equal price; the newest point of a series is the one
with the greatest (observed_at, rank). Nothing depends on the order of arrival.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from marketdata.errors import InvalidInput

# Wide enough for JPY-quoted indices and for coins of 10 decimals; narrow enough that a garbage
# answer of 400 digits is refused rather than stored.
MAX_DIGITS = 15
MAX_DECIMALS = 12
# A time that lies ahead would be the newest price until it comes; clocks may differ by this much.
MAX_AHEAD = timedelta(hours=1)
# Before the first quote that any provider serves; a time this old is one that was never set, as Go's
# zero time, 0001-01-01.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


class PricePoint(msgspec.Struct, frozen=True, gc=False):
    """One price of one symbol from one provider.

    `observed_at` is the provider's clock, `fetched_at` ours when the answer was received; both
    aware UTC. `raw_response_id` leads to the bytes the price was read from.

    A Struct and no dataclass because the consumer makes one for each message: a frozen dataclass
    of ten fields takes five times as long to make.
    """

    provider: str
    symbol: str
    observed_at: datetime
    price: Decimal
    currency: str | None
    fetched_at: datetime
    raw_response_id: UUID
    market_state: str | None = None
    delayed_by_seconds: int | None = None
    interval_seconds: int | None = None

    @property
    def rank(self) -> tuple[datetime, UUID]:
        """What decides between answers for one identity: the greater wins."""
        return (self.fetched_at, self.raw_response_id)


def parse_price(price: Decimal, *, field: str = "price") -> Decimal:
    """Return `price` if it can be stored exactly.

    Negative prices are legal (WTI crude settled at -37.63 on 2020-04-20).
    Raises InvalidInput for NaN, infinities, over 15 integer digits or over 12 decimals.
    """
    if not price.is_finite():
        # Not its own text: a NaN may carry a million digits.
        raise InvalidInput(f"{field} is {'NaN' if price.is_nan() else 'infinite'}, not a number", field=field)
    # Thirteen characters without an exponent cannot break either bound; as_tuple is slow, and this
    # runs for each message.
    text = str(price)
    if len(text) <= MAX_DECIMALS + 1 and "E" not in text:
        return price
    # 0E+99999 is small and yet overflows NUMERIC, so the exponent is bounded on both sides. No arithmetic:
    # that of 1E+1000000 raises Overflow.
    exponent = price.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number has an exponent"
    if price.adjusted() >= MAX_DIGITS or not -MAX_DECIMALS <= exponent <= MAX_DIGITS:
        raise InvalidInput(
            f"{field} has more than 15 digits before or {MAX_DECIMALS} after the point",
            field=field,
        )
    return price
