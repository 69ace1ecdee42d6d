"""The live table, line by line."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from marketdata_tools.run import plain, view
from marketdata_tools.run.readings import Counters, Price, Reading, Series

AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
HEADING = view.Heading(
    address="http://127.0.0.1:8000", up_seconds=3_727, first_price_seconds=1.94, logs=".data/logs"
)
COUNTERS = Counters(
    polls=120, failed=0, stored=12_345, redelivered=2, dead=0, outbox_open=3, is_balanced=True
)
AAPL = Series("synthetic", "AAPL")
EURUSD = Series("synthetic", "EURUSD=X")
GSPC = Series("yfinance", "^GSPC")
MSFT = Series("yfinance", "MSFT")


def price(series: Series, worth: str, **changes: object) -> Price:
    made = Price(
        series=series,
        price=Decimal(worth),
        timestamp=AT,
        age_seconds=0.8,
        stale=False,
        market_state="REGULAR",
        average=Decimal(worth),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


READING = Reading(
    series=(AAPL, EURUSD, MSFT, GSPC),
    prices={
        AAPL: price(AAPL, "231.504", change=Decimal("0.25"), average=Decimal("231.1")),
        EURUSD: price(EURUSD, "1.0853", change=Decimal("-0.0002"), age_seconds=61, average=None),
        GSPC: price(GSPC, "5871.3", market_state="CLOSED", age_seconds=200_000, stale=True),
    },
    counters=COUNTERS,
)


def drawn(reading: Reading, *, width: int = 80, height: int = 24) -> list[str]:
    output = StringIO()
    console = Console(file=output, width=width, height=height, color_system=None)
    console.print(view.render(reading, HEADING, width=width, height=height))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_the_table_tells_price_change_average_age_and_market() -> None:
    rule = "─" * 80

    assert drawn(READING) == [
        " Market data                                                         up 1:02:07",
        " API http://127.0.0.1:8000   Swagger http://127.0.0.1:8000/docs",
        rule,
        " symbol    provider            price     change   average 5  age market",
        " AAPL      synthetic          231.50     ▲ 0.25      231.10   0s open",
        " EURUSD=X  synthetic          1.0853   ▼ 0.0002               1m open",
        " MSFT      yfinance          waiting",
        " ^GSPC     yfinance         5,871.30               5,871.30   2d stale",
        "",
        rule,
        " ledger balanced · 12,345 stored · 3 open in the outbox · 120 polls",
        " first price after 1.9 s · logs in .data/logs · Ctrl-C ends",
    ]


def test_a_wide_terminal_shows_the_same_facts_of_more_series_side_by_side() -> None:
    series = tuple(Series("synthetic", f"S{number:02}") for number in range(60))
    reading = Reading(series, {one: price(one, "100") for one in series}, COUNTERS)

    lines = drawn(reading, width=120, height=40)

    assert lines[4] == (
        " S00       synthetic          100.00      100.00   0s"
        "   S30       synthetic          100.00      100.00   0s"
    )
    assert [line.split()[0] for line in lines[4:34]] == [one.symbol for one in series[:30]]


def test_a_small_terminal_shows_what_fits_and_counts_the_rest() -> None:
    series = tuple(Series("synthetic", f"S{number:02}") for number in range(60))
    reading = Reading(series, {one: price(one, "100") for one in series}, COUNTERS)

    lines = drawn(reading)

    assert lines[4] == " S00            100.00      100.00   0s   S16            100.00      100.00   0s"
    assert lines[20] == " and 28 more: a larger terminal shows them"
    assert len(lines) == 24


@given(st.integers(0, 200), st.integers(40, 250), st.integers(10, 80))
def test_nothing_ever_wraps_or_scrolls(count: int, width: int, height: int) -> None:
    series = tuple(Series("alpha_vantage", f"LONG-SYMBOL-{number}") for number in range(count))
    reading = Reading(series, {one: price(one, "123456789.5") for one in series[::2]}, COUNTERS)

    lines = drawn(reading, width=width, height=height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_trouble_is_told_above_the_counters_and_the_last_prices_stay() -> None:
    lines = drawn(replace(READING, trouble="the API does not answer (TimeoutError)"))

    assert lines[8] == " the API does not answer (TimeoutError)"
    assert lines[4].startswith(" AAPL")


def test_what_went_wrong_is_counted_where_it_is_not_zero() -> None:
    bad = replace(COUNTERS, failed=4, dead=1, is_balanced=False)

    assert view.counter_words(bad)[0] == "ledger NOT balanced"
    assert view.counter_words(bad)[-2:] == ["4 failed", "1 dead"]
    assert view.counter_words(COUNTERS)[-1] == "2 redelivered"


def test_without_a_job_the_table_says_how_to_make_one() -> None:
    assert " no polling job yet; POST /prices/poll makes one" in drawn(Reading())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86_400, "1d"), (3e7, "347d")],
)
def test_an_age_takes_at_most_four_characters(seconds: float, text: str) -> None:
    assert view.duration(seconds) == text


def test_plain_lines_tell_each_first_price_once_and_stop_at_a_limit() -> None:
    assert plain.first_prices(Reading(), READING) == [
        "AAPL 231.50 (synthetic, 0s old, average of 5 231.10)",
        "EURUSD=X 1.0853 (synthetic, 1m old)",
        "^GSPC 5,871.30 (yfinance, 2d old, average of 5 5,871.30, stale)",
    ]
    assert plain.first_prices(READING, READING) == []

    series = tuple(Series("synthetic", f"S{number:02}") for number in range(60))
    many = Reading(series, {one: price(one, "100") for one in series}, COUNTERS)

    assert plain.first_prices(Reading(), many)[-1] == "and 40 more"
    assert len(plain.first_prices(Reading(), many)) == 21


def test_the_plain_totals_are_one_line() -> None:
    assert plain.totals(READING) == (
        "3 of 4 series have a price, 1 stale, ledger balanced, 12,345 stored, 3 open in the outbox, "
        "120 polls, 2 redelivered"
    )
    assert plain.totals(replace(READING, trouble="the API is away")) == "the API is away"
