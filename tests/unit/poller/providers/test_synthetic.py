"""The seeded random walk."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from marketdata.clock import ManualClock
from marketdata_poller.providers.settings import SyntheticSettings, read
from marketdata_poller.providers.synthetic import SyntheticProvider, price_at
from support.providers import OpenGate

seconds = st.integers(min_value=1_500_000_000, max_value=2_500_000_000)
PINNED = ("758.19", "209.33", "119.81")
symbols = st.text(alphabet="ABCXYZ0123456789^.=-", min_size=1, max_size=12)


def a_provider(clock: ManualClock, **values: str) -> SyntheticProvider:
    environ = {f"MARKETDATA_SYNTHETIC_{name.upper()}": value for name, value in values.items()}
    return SyntheticProvider(values=read("synthetic", SyntheticSettings, environ), clock=clock)


@given(symbols, seconds)
def test_two_pollers_agree_to_the_last_digit(symbol: str, second: int) -> None:
    clock = ManualClock(datetime.fromtimestamp(second, UTC) + timedelta(milliseconds=250))

    one, other = (a_provider(clock, seed="7").fetch((symbol,), gate=OpenGate()) for _ in range(2))

    assert one.quotes[symbol][0] == other.quotes[symbol][0]


@given(st.integers(), symbols, seconds)
def test_prices_are_positive_and_have_two_to_four_decimals(seed: int, symbol: str, second: int) -> None:
    price = price_at(seed, symbol, second)

    assert price > 0
    assert price.as_tuple().exponent == (-4 if price < 10 else -2)


@given(st.integers(), symbols, seconds)
def test_a_second_moves_a_price_by_less_than_a_hundredth(seed: int, symbol: str, second: int) -> None:
    before, after = price_at(seed, symbol, second), price_at(seed, symbol, second + 1)

    assert abs(after - before) <= before / 100


def test_a_price_seldom_stands_still_for_ten_seconds() -> None:
    walk = [price_at(1, "AAPL", 1_800_000_000 + second) for second in range(600)]

    assert all(len(set(walk[start : start + 10])) > 1 for start in range(590))


def test_another_seed_is_another_market() -> None:
    assert price_at(1, "AAPL", 1_800_000_000) != price_at(2, "AAPL", 1_800_000_000)


def test_the_walk_is_the_same_in_every_release() -> None:
    assert [price_at(1, symbol, 1_800_000_000) for symbol in ("AAPL", "MSFT", "^GSPC")] == [
        Decimal(text) for text in PINNED
    ]


def test_a_quote_is_observed_at_the_whole_second_and_carries_the_settings() -> None:
    clock = ManualClock(datetime(2026, 3, 2, 12, 0, 3, 900_000, tzinfo=UTC))
    provider = a_provider(clock, currency="EUR", market_state="CLOSED")

    ((quote, _),) = provider.fetch(("AAPL",), gate=OpenGate()).quotes.values()

    assert quote.observed_at == datetime(2026, 3, 2, 12, 0, 3, tzinfo=UTC)
    assert (quote.currency, quote.market_state) == ("EUR", "CLOSED")


def test_symbols_that_rehearse_failures_fail_as_they_say() -> None:
    answer = a_provider(ManualClock()).fetch(("AAPL", "NOSUCH1", "NODATA1"), gate=OpenGate())

    assert {symbol: error.reason for symbol, error in answer.failures.items()} == {
        "NOSUCH1": "unknown_symbol",
        "NODATA1": "no_data",
    }


def test_latency_is_waited_for_and_close_ends_it() -> None:
    clock = ManualClock()
    provider = a_provider(clock, latency_seconds="2")

    provider.fetch(("AAPL",), gate=OpenGate())

    assert clock.monotonic() == 2.0
