"""The moving average of the latest prices of a series.

The average at a point is the arithmetic mean of its own price and those of up to `window - 1`
points before it in observed_at order, within one (provider, symbol). It is recomputed from the
prices or carried on in exact sums, so it cannot drift.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

WINDOW = 5
MIN_WINDOW = 2
MAX_WINDOW = 200

# 34 digits: decimal128's precision, more than 15 + 12 digits of a price summed 200 times need.
CONTEXT = Context(prec=34, rounding=ROUND_HALF_EVEN)
SCALE = Decimal(1).scaleb(-12)
_SIZES = [Decimal(size) for size in range(MAX_WINDOW + 1)]


class MovingAverage(NamedTuple):
    """A mean, rounded half-even to 12 decimals, and how many prices it was taken over."""

    average: Decimal
    sample_size: int


def moving_average(prices: Sequence[Decimal]) -> MovingAverage:
    """Return the mean of `prices`, at least one of them."""
    total = Decimal(0)
    for price in prices:
        total = CONTEXT.add(total, price)
    mean = CONTEXT.divide(total, Decimal(len(prices)))
    return MovingAverage(mean.quantize(SCALE, context=CONTEXT), len(prices))


def moving_averages(prices: Sequence[Decimal], *, skip: int, window: int = WINDOW) -> list[Decimal]:
    """Return the average at each of `prices`, in series order, but the first `skip` of them.

    The same as the `moving_average` of each slice, which was taken over as many prices as the place of its
    last one says, at most `window`: CONTEXT holds the sum of any window of storable prices
    whole, so a sum moved on by what enters and what leaves is the sum taken anew.
    """
    averages: list[Decimal] = []
    start = max(0, skip + 1 - window)
    with localcontext(CONTEXT):
        total = sum(prices[start:skip], Decimal(0))
        for end in range(skip, len(prices)):
            total += prices[end]
            if end - start == window:
                total -= prices[start]
                start += 1
            averages.append((total / _SIZES[end - start + 1]).quantize(SCALE))
    return averages
