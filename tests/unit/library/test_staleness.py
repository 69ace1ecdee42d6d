import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain import staleness


@pytest.mark.parametrize(("interval", "seconds"), [(60, 190), (1, 13), (None, 300)])
def test_a_price_may_go_unconfirmed_for_three_polls_and_a_grace(interval: int | None, seconds: int) -> None:
    assert staleness.stale_after_seconds(interval) == seconds


@given(st.none() | st.integers(1, 86_400))
def test_the_interval_can_be_read_back(interval: int | None) -> None:
    assert staleness.interval_seconds(staleness.stale_after_seconds(interval)) == interval
