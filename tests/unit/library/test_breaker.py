"""When a provider is left alone, and how it is tried again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.breaker import (
    CLOSED,
    FAILURES_TO_OPEN,
    FIRST_COOLDOWN,
    LONGEST_COOLDOWN,
    PROBE_TIMEOUT,
    admit,
    after_failure,
    after_success,
    give_up_probe,
)
from marketdata.errors import Blocked, RateLimited, UnknownSymbol, UpstreamUnavailable
from support.builders import at

LATER = LONGEST_COOLDOWN + timedelta(hours=1)


def opened(error=None):
    return after_failure(CLOSED, error or RateLimited(), owner="a", now=at(0))


def test_a_rate_limit_or_a_refusal_opens_at_once_and_others_after_five_in_a_row():
    assert opened(RateLimited()).open_until == at(0) + FIRST_COOLDOWN
    assert opened(Blocked()).open_until == at(0) + FIRST_COOLDOWN
    state = CLOSED
    for _ in range(FAILURES_TO_OPEN - 1):
        state = after_failure(state, UpstreamUnavailable(), owner="a", now=at(0))
    assert state.open_until is None
    assert after_failure(state, UpstreamUnavailable(), owner="a", now=at(0)).open_until is not None


def test_a_success_between_failures_starts_the_count_again():
    state = CLOSED
    for _ in range(20):
        state = after_failure(state, UpstreamUnavailable(), owner="a", now=at(0))
        state = after_success(state, owner="a")

    assert state == CLOSED


def test_a_longer_wait_that_the_provider_asks_for_is_kept():
    asked = timedelta(hours=2)

    assert opened(RateLimited(retry_after=asked)).open_until == at(0) + asked


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=6))
def test_a_half_open_breaker_lets_one_caller_through_until_its_time_is_over(callers):
    state, now = opened(), at(0) + FIRST_COOLDOWN
    admitted = []
    for owner in callers:
        state, may = admit(state, owner=owner, now=now)
        admitted += [owner] if may else []
    assert admitted == callers[:1]

    _, may = admit(state, owner="z", now=now + PROBE_TIMEOUT)
    assert may


def test_each_probe_that_fails_doubles_the_cooldown_up_to_a_quarter_of_an_hour():
    state, now, waits = opened(), at(0), []
    for _ in range(7):
        waits.append(state.open_until - now)
        now = state.open_until
        state, may = admit(state, owner="a", now=now)
        assert may
        state = after_failure(state, RateLimited(), owner="a", now=now)

    assert [wait.total_seconds() for wait in waits] == [60, 120, 240, 480, 900, 900, 900]


def test_late_news_from_before_it_opened_neither_closes_nor_doubles():
    state = opened()

    assert after_success(state, owner="b") == state
    assert after_failure(state, RateLimited(), owner="b", now=at(10)) == state
    longer = after_failure(state, RateLimited(retry_after=LATER), owner="b", now=at(10))
    assert longer.open_until == at(10) + LATER
    assert longer.cooldown == state.cooldown


def test_a_no_to_a_symbol_is_an_answer_of_the_provider():
    state, _ = admit(opened(), owner="a", now=at(0) + FIRST_COOLDOWN)

    assert after_failure(state, UnknownSymbol(), owner="a", now=at(100)) == CLOSED


def test_only_the_holder_can_give_up_a_probe():
    state, _ = admit(opened(), owner="a", now=at(0) + FIRST_COOLDOWN)

    assert give_up_probe(state, owner="b") == state
    _, may = admit(give_up_probe(state, owner="a"), owner="b", now=at(0) + FIRST_COOLDOWN)
    assert may
