"""The fold equals the naive model, for any order and any cutting into batches."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.average import WINDOW
from marketdata.domain.price import PricePoint
from marketdata.domain.series import Neighbours, Series, SeriesState, StoredPoint
from marketdata_consumer.batch import Gathering
from marketdata_consumer.fold import Plan, fold, questions
from support.builders import a_price, at
from support.histories import histories
from support.messages import messages
from support.naive import Tables, naive


class Model:
    """The tables as dictionaries, changed by plans and by nothing else."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.states: dict[Series, SeriesState] = {}
        self.gathering = Gathering({0: 0})
        self.stored = self.passed = 0

    def consume(self, points: Sequence[PricePoint]) -> Plan:
        start = self.gathering.positions[0]
        self.gathering.add(0, messages(points, start=start))
        batch = self.gathering.seal()
        asked = questions(batch, self.states)
        plan = fold(batch, self.states, {s: self._neighbours(s, times) for s, times in asked.items()})
        for point in plan.points:
            identity = ((point.provider, point.symbol), point.observed_at)
            assert identity not in self.tables.points, "an added point must be new"
            self.tables.points[identity] = point
        for point in plan.replaced:
            identity = ((point.provider, point.symbol), point.observed_at)
            assert identity in self.tables.points, "a replaced point must be there"
            self.tables.points[identity] = point
        for provider, symbol, observed_at, average, size in plan.averages:
            assert ((provider, symbol), observed_at) not in self.tables.averages, (
                "an added average must be new"
            )
            self.tables.averages[(provider, symbol), observed_at] = (average, size)
        for provider, symbol, observed_at, average, size in plan.recomputed:
            self.tables.averages[(provider, symbol), observed_at] = (average, size)
        for state in plan.states:
            series = (state.newest.provider, state.newest.symbol)
            self.tables.latest[series] = state.newest
            self.states[series] = state
        move = batch.moves[0]
        self.passed += move.superseded + move.redelivered
        self.stored += move.consumed - move.superseded - move.redelivered
        return plan

    def _neighbours(self, series: Series, times: Iterable[datetime]) -> Neighbours:
        stored = sorted((t, p) for (s, t), p in self.tables.points.items() if s == series)
        found: dict[datetime, StoredPoint] = {}
        for instant in times:
            before = [(t, p) for t, p in stored if t <= instant][-WINDOW:]
            after = [(t, p) for t, p in stored if t > instant][: WINDOW - 1]
            for t, p in before + after:
                found[t] = StoredPoint(p.price, p.fetched_at, p.raw_response_id)
        return found

    def check(self, events: Sequence[PricePoint]) -> None:
        assert self.tables == naive(events)
        for series, state in self.states.items():
            times = sorted(t for s, t in self.tables.points if s == series)[-WINDOW:]
            assert list(state.times) == times
            assert list(state.prices) == [self.tables.points[series, t].price for t in times]
        assert self.stored + self.passed == len(events)


@given(histories, st.data())
def test_any_history_in_any_batches_ends_in_the_naive_tables(
    events: list[PricePoint], data: st.DataObject
) -> None:
    model = Model()
    left = events
    while left:
        size = data.draw(st.integers(min_value=1, max_value=len(left)))
        model.consume(left[:size])
        left = left[size:]
    model.check(events)


def test_every_order_of_small_histories_ends_in_the_naive_tables() -> None:
    first, second = UUID(int=1), UUID(int=2)
    history = [
        a_price(price="1", observed_at=at(0), fetched_at=at(50), raw_response_id=first),
        a_price(price="2", observed_at=at(1), fetched_at=at(50), raw_response_id=first),
        a_price(price="3", observed_at=at(2), fetched_at=at(50), raw_response_id=first),
        a_price(price="9", observed_at=at(0), fetched_at=at(51), raw_response_id=first),  # corrects
        a_price(price="2", observed_at=at(1), fetched_at=at(50), raw_response_id=second),  # confirms
        a_price(price="7", observed_at=at(2), fetched_at=at(49), raw_response_id=second),  # outranked
    ]
    cuts = [(6,), (1,) * 6, (3, 3), (2, 4)]
    for order in itertools.permutations(history):
        for cut in cuts:
            model, start = Model(), 0
            for size in cut:
                model.consume(order[start : start + size])
                start += size
            model.check(order)


def _steady(count: int) -> list[PricePoint]:
    return [a_price(price=str(i), observed_at=at(i)) for i in range(count)]


def test_a_newer_point_is_appended_without_history() -> None:
    model = Model()
    model.consume(_steady(7))
    plan = model.consume([a_price(price="100", observed_at=at(7))])
    assert [p.price for p in plan.points] == [Decimal(100)]
    assert plan.averages == [("synthetic", "AAPL", at(7), Decimal("23.6"), 5)]
    assert not plan.replaced
    assert not plan.recomputed


def test_a_correction_recomputes_its_own_average_and_the_next_four_only() -> None:
    model = Model()
    model.consume(_steady(20))
    plan = model.consume([a_price(price="50", observed_at=at(8), fetched_at=at(99))])
    assert [row[2] for row in plan.recomputed] == [at(i) for i in range(8, 13)]
    assert [p.observed_at for p in plan.replaced] == [at(8)]
    assert not plan.points
    assert not plan.averages
    assert not plan.states, "the newest points of the series did not change"


def test_a_late_point_moves_its_own_average_and_the_next_four_only() -> None:
    model = Model()
    model.consume(_steady(20))
    plan = model.consume([a_price(price="50", observed_at=at(8.5))])
    assert [row[2] for row in plan.recomputed] == [at(8.5), *(at(i) for i in range(9, 13))]


def test_a_correction_at_the_same_price_touches_no_average() -> None:
    model = Model()
    model.consume(_steady(20))
    plan = model.consume([a_price(price="8.00", observed_at=at(8), fetched_at=at(99))])
    assert [p.observed_at for p in plan.replaced] == [at(8)]
    assert not plan.recomputed
    assert not plan.averages


def test_an_unchanged_poll_confirms_the_newest_point_and_asks_for_no_history() -> None:
    model = Model()
    model.consume(_steady(6))
    later = a_price(price="5", observed_at=at(5), fetched_at=at(99))
    model.gathering.add(0, messages([later], start=6))
    assert questions(model.gathering.seal(), model.states) == {}
    model.gathering.positions[0] = 6
    plan = model.consume([later])
    assert plan.replaced == [later]
    assert [state.newest for state in plan.states] == [later]
    assert not plan.averages


def test_a_repeated_event_changes_nothing_and_is_counted() -> None:
    model = Model()
    events = _steady(6)
    model.consume(events)
    assert model.consume([events[5], events[2], events[2]]) == Plan()
    assert model.passed == 3
