"""How a promise about age is judged, held against looking at every second of it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.average import WINDOW
from marketdata.domain.job import Slo
from marketdata.domain.promise import (
    Kept,
    PromiseState,
    budget_remaining,
    covered_from,
    judge,
    share,
    state,
)
from support.builders import at

_SECOND = st.integers(-400, 400)
_observed = st.lists(_SECOND, max_size=WINDOW, unique=True).map(sorted)


def seen(observed, since, until, max_age, *, is_closed=False, is_ordinary=True):
    """Judge in seconds about NOON."""
    found = judge(
        [at(second) for second in observed],
        since=at(since),
        until=at(until),
        max_age_seconds=max_age,
        is_closed=is_closed,
        is_ordinary=is_ordinary,
    )
    return found.counted, found.kept


def naive(observed, since, until, max_age, *, is_closed, is_ordinary):
    """Look at the middle of every second, as somebody with a stopwatch would."""
    counted = kept = 0
    for second in range(since, until):
        moment = second + 0.5
        known = [each for each in observed if each <= moment]
        if is_closed and observed and moment > observed[-1]:
            continue
        if not known and len(observed) == WINDOW:  # what came before is not remembered
            if not is_ordinary:
                continue
            counted, kept = counted + 1, kept + 1
            continue
        counted += 1
        kept += bool(known) and moment - known[-1] <= max_age
    return counted, kept


@given(_observed, _SECOND, st.integers(0, 500), st.integers(1, 300), st.booleans(), st.booleans())
def test_a_stretch_is_judged_as_by_looking_at_each_second(
    observed, since, length, max_age, is_closed, is_ordinary
):
    flags = {"is_closed": is_closed, "is_ordinary": is_ordinary}

    assert seen(observed, since, since + length, max_age, **flags) == naive(
        observed, since, since + length, max_age, **flags
    )


@given(_observed, _SECOND, st.integers(0, 300), st.integers(0, 300), st.integers(1, 300), st.booleans())
def test_two_halves_are_judged_as_the_whole(observed, since, first, second, max_age, is_closed):
    middle, until = since + first, since + first + second
    halves = [
        seen(observed, *half, max_age, is_closed=is_closed) for half in ((since, middle), (middle, until))
    ]

    assert tuple(map(sum, zip(*halves, strict=True))) == seen(
        observed, since, until, max_age, is_closed=is_closed
    )


def test_an_outage_is_told_from_the_prices_around_it_by_whoever_comes_after():
    assert seen([0, 10, 3600], 5, 3605, 60, is_ordinary=False) == (3600, 70)


def test_a_market_that_closed_during_an_outage_excuses_only_what_came_after_its_last_price():
    assert seen([0, 100], 0, 1000, 60, is_closed=True) == (100, 60)


def test_a_symbol_without_any_price_breaks_the_promise():
    assert seen([], 0, 100, 60) == (100, 0)
    assert seen([], 0, 100, 60, is_closed=True) == (100, 0)


def test_a_job_is_given_its_first_interval_and_the_grace_of_one_slow_poll():
    assert covered_from(at(0), 300) == at(310)


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (Kept(0, 0), None),
        (Kept(1000, 999), Decimal("99.9")),
        (Kept(100_000, 99_999.9), Decimal("99.999")),
        (Kept(0.3, 0.1 + 0.2), Decimal(100)),
        (Kept(3, 0), Decimal(0)),
    ],
)
def test_a_share_is_rounded_down_so_that_all_means_all(kept, told):
    assert share(kept) == told


@pytest.mark.parametrize(
    ("broken", "left", "stands"),
    [
        (0, 100, PromiseState.KEPT),
        (0.5, 50, PromiseState.KEPT),
        (0.8, 20, PromiseState.AT_RISK),
        (1, 0, PromiseState.AT_RISK),
        (3, -200, PromiseState.BROKEN),
    ],
)
def test_the_budget_is_what_the_target_leaves_to_be_broken(broken, left, stands):
    month = Kept(1000, 1000 - broken)

    assert budget_remaining(Slo(60, "99.9"), month) == left
    assert state(Slo(60, "99.9"), month) is stands


def test_nothing_is_known_of_a_promise_before_any_time_counted():
    assert budget_remaining(Slo(60, "99.9"), Kept()) is None
    assert state(Slo(60, "99.9"), Kept()) is PromiseState.UNKNOWN


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.sampled_from(["50", "99", "99.9", "99.999"]))
def test_a_promise_is_broken_exactly_where_its_share_is_below_its_target(counted, broken, target):
    month = Kept(counted, counted - min(broken, counted))
    is_below = Decimal(month.kept) / Decimal(month.counted) * 100 < Decimal(target)

    left = budget_remaining(Slo(60, target), month)
    assert left is not None
    assert (left < 0) == is_below


def test_covering_begins_later_than_waking():
    assert covered_from(at(0), 1) - at(0) == timedelta(seconds=11)
