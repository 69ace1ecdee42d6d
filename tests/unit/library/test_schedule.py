from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.schedule import ANCHOR, next_tick, phase_seconds
from support import strategies

intervals = st.integers(1, 86_400)


@given(strategies.instants, strategies.providers, intervals)
def test_the_next_tick_is_the_first_one_strictly_later(after: datetime, provider: str, interval: int) -> None:
    tick = next_tick(after, provider=provider, interval_seconds=interval)

    assert after < tick <= after + timedelta(seconds=interval)


@given(strategies.instants, strategies.providers, intervals)
def test_every_tick_is_on_the_grid(after: datetime, provider: str, interval: int) -> None:
    tick = next_tick(after, provider=provider, interval_seconds=interval)
    start = ANCHOR + timedelta(seconds=phase_seconds(provider, interval))

    assert (tick - start) % timedelta(seconds=interval) == timedelta(0)


@given(strategies.instants, strategies.providers, intervals, st.integers(1, 50))
def test_ticks_do_not_drift(after: datetime, provider: str, interval: int, rounds: int) -> None:
    first = tick = next_tick(after, provider=provider, interval_seconds=interval)
    for _ in range(rounds):
        tick = next_tick(tick, provider=provider, interval_seconds=interval)

    assert tick == first + rounds * timedelta(seconds=interval)


@given(strategies.instants, strategies.providers, intervals, st.floats(0, 0.999), st.integers(0, 1000))
def test_ticks_missed_while_away_are_one(
    after: datetime, provider: str, interval: int, late: float, missed: int
) -> None:
    due = next_tick(after, provider=provider, interval_seconds=interval)
    now = due + (missed + late) * timedelta(seconds=interval)

    tick = next_tick(now, provider=provider, interval_seconds=interval)

    assert now < tick <= now + timedelta(seconds=interval)


@given(strategies.providers, intervals)
def test_a_phase_is_within_the_interval_and_always_the_same(provider: str, interval: int) -> None:
    phase = phase_seconds(provider, interval)

    assert 0 <= phase < interval
    assert phase == phase_seconds(provider, interval)


def test_providers_are_spread_over_the_minute() -> None:
    assert len({phase_seconds(f"provider{i}", 60) for i in range(200)}) > 50


@pytest.mark.parametrize(("provider", "phase"), [("synthetic", 9), ("yfinance", 19)])
def test_phases_never_change_between_releases(provider: str, phase: int) -> None:
    assert phase_seconds(provider, 60) == phase


def test_the_grid_is_the_same_in_every_time_zone() -> None:
    after = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)
    elsewhere = after.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)

    here = next_tick(after, provider="synthetic", interval_seconds=60)

    assert next_tick(elsewhere, provider="synthetic", interval_seconds=60) == here
