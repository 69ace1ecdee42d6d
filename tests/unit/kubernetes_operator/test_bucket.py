"""Writes a second, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from marketdata.clock import ManualClock
from marketdata_operator.bucket import TokenBucket


def test_a_burst_is_one_second_long():
    clock = ManualClock()
    bucket = TokenBucket(rate=3, clock=clock)
    clock.advance(60)
    taken = 0
    while bucket.delay() == 0.0:
        bucket.take()
        taken += 1

    assert taken == 3
    assert 0.3 < bucket.delay() < 0.34


@given(rate=st.floats(0.1, 100), waits=st.lists(st.floats(0, 2), max_size=60))
def test_no_more_than_the_rate_and_one_burst_is_given(rate, waits):
    clock = ManualClock()
    bucket = TokenBucket(rate=rate, clock=clock)
    taken = 0
    for seconds in waits:
        clock.advance(seconds)
        if bucket.delay() == 0.0:
            bucket.take()
            taken += 1

    assert taken <= rate * sum(waits) + max(1.0, rate) + 1e-6
