"""How a promise about age is kept: which seconds it covers, and in which of them it was kept.

An instant of a symbol is covered while its job is polled and its market is not closed; it is kept if
the newest price was then no older, by `observed_at`, than the promise allows. Prices are known by when
they were observed, so an hour that nobody judged is judged afterwards as it would have been. A share
is of symbol-seconds: one symbol of ten that is too old for an hour breaks six minutes of it.

The storage layer computes `judge` in SQL, for all jobs at once; a test holds both against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from itertools import pairwise

from marketdata.domain.average import WINDOW
from marketdata.domain.job import Slo
from marketdata.domain.staleness import GRACE_SECONDS

# Up to here a stretch is taken to have been as its end shows where the prices known do not reach
# back to its beginning; in a longer one such time does not count.
ORDINARY_STRETCH = timedelta(seconds=60)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)

_AT_RISK_BELOW = Decimal(25)  # percent of the budget
_THOUSANDTH = Decimal("0.001")
_NOTHING = timedelta()


@dataclass(frozen=True, slots=True)
class Kept:
    """Seconds that a promise covers, and those of them in which it was kept."""

    counted: float = 0.0
    kept: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a promise was kept over the last 24 hours, in whole hours, and the last 30 days, of UTC."""

    day: Kept = Kept()
    month: Kept = Kept()


class PromiseState(StrEnum):
    """What the budget of 30 days says of a promise."""

    UNKNOWN = "unknown"
    KEPT = "kept"
    AT_RISK = "at_risk"
    BROKEN = "broken"


def covered_from(awake_since: datetime, interval_seconds: int) -> datetime:
    """Return from when a promise covers a job: its first poll, and one slow one, are given their time."""
    return awake_since + timedelta(seconds=interval_seconds + GRACE_SECONDS)


def judge(
    observed: Sequence[datetime],
    *,
    since: datetime,
    until: datetime,
    max_age_seconds: int,
    is_closed: bool,
    is_ordinary: bool = True,
) -> Kept:
    """Return how one symbol fared in (since, until].

    `observed` are when its last points were observed, in order, at most WINDOW of them: with fewer
    there was no price before the first. `is_closed` says that the provider still confirms a closed
    market: from the newest price on nothing is covered. `is_ordinary` is about ORDINARY_STRETCH.
    """
    end = min(until, observed[-1]) if is_closed and observed else until
    start = since
    broken = _NOTHING
    if not observed:
        broken = max(_NOTHING, end - start)
    elif len(observed) < WINDOW:
        broken = max(_NOTHING, min(observed[0], end) - start)
    elif not is_ordinary:
        start = max(since, observed[0])
    allowed = timedelta(seconds=max_age_seconds)
    for at, following in pairwise((*observed, end)):
        broken += max(_NOTHING, min(following, end) - max(at + allowed, start))
    counted = max(_NOTHING, end - start)
    return Kept(counted.total_seconds(), (counted - broken).total_seconds())


def share(kept: Kept) -> Decimal | None:
    """Return the percentage of the counted time that was kept, rounded down; None where none counted."""
    if kept.counted <= 0:
        return None
    return _floor(Decimal(kept.kept) / Decimal(kept.counted) * 100)


def budget_remaining(slo: Slo, month: Kept) -> Decimal | None:
    """Return what is left, in percent, of the time that the target allows to be broken.

    It is negative where the promise is broken; None where no time counted.
    """
    if month.counted <= 0:
        return None
    allowed = Decimal(month.counted) * (100 - Decimal(slo.target)) / 100
    return _floor((1 - (Decimal(month.counted) - Decimal(month.kept)) / allowed) * 100)


def state(slo: Slo, month: Kept) -> PromiseState:
    """Return how the promise stands."""
    left = budget_remaining(slo, month)
    if left is None:
        return PromiseState.UNKNOWN
    if left < 0:
        return PromiseState.BROKEN
    return PromiseState.AT_RISK if left < _AT_RISK_BELOW else PromiseState.KEPT


def _floor(percent: Decimal) -> Decimal:
    # Seconds are sums of binary fractions: without the first rounding, all of them might be 99.999.
    return percent.quantize(Decimal("1e-9")).quantize(_THOUSANDTH, rounding=ROUND_FLOOR)
