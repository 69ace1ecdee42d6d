"""Events and what is known of their series → what to write.

Pure. A batch touches each series in one of two ways. Points newer than the newest are appended:
rows that exist nowhere yet, with averages from the state of the series alone. Everything else
(late, repeated, corrected) is settled among the stored neighbours: it is found out which points are
new, which replace an answer of lower rank, and which averages that moves: the point's own and the
four after it, none where the price is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from marketdata.domain.average import WINDOW, moving_average, moving_averages
from marketdata.domain.price import PricePoint
from marketdata.domain.series import AverageRow, Neighbours, Series, SeriesState
from marketdata_consumer.batch import Batch, count_loser


@dataclass(slots=True)
class Plan:
    """What one transaction writes, apart from positions and dead letters.

    No row of `points` and `averages` exists yet; `replaced` and `recomputed` may overwrite.
    `states` are the series whose newest point or recent prices changed.
    """

    points: list[PricePoint] = field(default_factory=list)
    averages: list[AverageRow] = field(default_factory=list)
    replaced: list[PricePoint] = field(default_factory=list)
    recomputed: list[AverageRow] = field(default_factory=list)
    states: list[SeriesState] = field(default_factory=list)


def questions(batch: Batch, states: Mapping[Series, SeriesState]) -> dict[Series, list[datetime]]:
    """Return the instants whose stored neighbours must be known, by series."""
    return {
        series: [point.observed_at for point in points]
        for series, points in batch.series.items()
        if (state := states.get(series)) is not None and not _appends(points[0], state.newest)
    }


def _appends(first: PricePoint, newest: PricePoint) -> bool:
    """Tell whether a batch that begins with `first` can do without history.

    It can where all is newer, and where the newest price is only confirmed, or spoken of by an
    answer that is outranked.
    """
    if first.observed_at != newest.observed_at:
        return first.observed_at > newest.observed_at
    return first.price == newest.price or first.rank <= newest.rank


def fold(
    batch: Batch,
    states: Mapping[Series, SeriesState],
    neighbours: Mapping[Series, Neighbours],
) -> Plan:
    """Return what to write; `neighbours` answers all of `questions`. Counts losers in batch.moves."""
    plan = Plan()
    for series, points in batch.series.items():
        known = neighbours.get(series)
        if known is None:
            _append(plan, batch, series, points, states.get(series))
        else:
            _settle(plan, batch, series, points, states[series], known)
    return plan


def _append(
    plan: Plan, batch: Batch, series: Series, points: Sequence[PricePoint], state: SeriesState | None
) -> None:
    times: list[datetime] = []
    prices: list[Decimal] = []
    if state is not None:
        times += state.times
        prices += state.prices
        first = points[0]
        if first.observed_at == state.newest.observed_at:
            points = points[1:]
            if first.rank > state.newest.rank:
                plan.replaced.append(first)
                state = SeriesState(first, times, prices)
                if not points:
                    plan.states.append(state)
            else:
                move = batch.moves[batch.partition_of[id(first)]]
                count_loser(move, first.rank == state.newest.rank)
            if not points:
                return
    before = len(prices)
    plan.points += points
    times += [point.observed_at for point in points]
    prices += [point.price for point in points]
    provider, symbol = series
    averages = moving_averages(prices, skip=before)
    plan.averages += [
        (provider, symbol, at, average, min(place, WINDOW))
        for place, (at, average) in enumerate(zip(times[before:], averages, strict=True), before + 1)
    ]
    plan.states.append(SeriesState(points[-1], times[-WINDOW:], prices[-WINDOW:]))


def _settle(
    plan: Plan,
    batch: Batch,
    series: Series,
    points: Sequence[PricePoint],
    state: SeriesState,
    known: Neighbours,
) -> None:
    prices = {at: stored.price for at, stored in known.items()}
    recent = dict(zip(state.times, state.prices, strict=True))
    newest = state.newest
    moved: list[datetime] = []
    changed = False
    for point in points:
        stored = known.get(point.observed_at)
        if stored is not None and point.rank <= stored.rank:
            move = batch.moves[batch.partition_of[id(point)]]
            count_loser(move, point.rank == stored.rank)
            continue
        (plan.points if stored is None else plan.replaced).append(point)
        if point.observed_at >= newest.observed_at:
            newest, changed = point, True
        if stored is None or stored.price != point.price:
            moved.append(point.observed_at)
            prices[point.observed_at] = recent[point.observed_at] = point.price
    if moved:
        plan.recomputed += _recomputed(series, prices, moved)
        times = sorted(recent)[-WINDOW:]
        changed = changed or not set(times).isdisjoint(moved)
        state = SeriesState(newest, times, [recent[at] for at in times])
    if changed:
        plan.states.append(SeriesState(newest, state.times, state.prices))


def _recomputed(
    series: Series, prices: Mapping[datetime, Decimal], moved: Sequence[datetime]
) -> list[AverageRow]:
    """Return the averages of each moved point and of the four after it.

    `prices` holds, around each moved point, the four stored before and after it and all of the
    batch; so the four before every point concerned are there, though elsewhere there are holes.
    """
    times = sorted(prices)
    place = {at: i for i, at in enumerate(times)}
    concerned = sorted({j for at in moved for j in range(place[at], place[at] + WINDOW) if j < len(times)})
    rows: list[AverageRow] = []
    for j in concerned:
        mean = moving_average([prices[at] for at in times[max(0, j - WINDOW + 1) : j + 1]])
        rows.append((*series, times[j], mean.average, mean.sample_size))
    return rows
