"""What the tables must hold, worked out the slow and obvious way from all events ever sent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from marketdata.domain.average import WINDOW, moving_average
from marketdata.domain.price import PricePoint
from marketdata.domain.series import Series


@dataclass(frozen=True, slots=True)
class Tables:
    """Points, averages (mean and sample size) and the newest point of each series."""

    points: dict[tuple[Series, datetime], PricePoint] = field(default_factory=dict)
    averages: dict[tuple[Series, datetime], tuple[Decimal, int]] = field(default_factory=dict)
    latest: dict[Series, PricePoint] = field(default_factory=dict)


def naive(events: Iterable[PricePoint]) -> Tables:
    """Return the tables after `events`, whatever their order and however often each came."""
    points: dict[tuple[Series, datetime], PricePoint] = {}
    for event in events:
        identity = ((event.provider, event.symbol), event.observed_at)
        if identity not in points or event.rank > points[identity].rank:
            points[identity] = event
    averages: dict[tuple[Series, datetime], tuple[Decimal, int]] = {}
    latest: dict[Series, PricePoint] = {}
    for series in {series for series, _ in points}:
        times = sorted(at for s, at in points if s == series)
        for i, at in enumerate(times):
            mean = moving_average([points[series, t].price for t in times[max(0, i - WINDOW + 1) : i + 1]])
            averages[series, at] = (mean.average, mean.sample_size)
        latest[series] = points[series, times[-1]]
    return Tables(points, averages, latest)
