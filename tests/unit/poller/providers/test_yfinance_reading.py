"""What Yahoo's bytes say, without Yahoo and without yfinance."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.answer import Parsed, RawResponse
from marketdata.errors import Transient
from marketdata_poller.providers.yfinance.reading import read
from support.builders import NOON, a_raw

QUOTE_URL = "https://query1.finance.yahoo.com/v7/finance/quote?symbols=AAPL&crumb=REDACTED"
CHART_URL = "http://127.0.0.1:8765/query2.finance.yahoo.com/v8/finance/chart/AAPL?range=1d"
CRUMB_URL = "https://query1.finance.yahoo.com/v1/test/getcrumb"
SECOND = int(NOON.timestamp()) - 60


def a_row(**fields: Any) -> dict[str, Any]:
    return {
        "symbol": "AAPL",
        "regularMarketPrice": 231.5,
        "regularMarketTime": SECOND,
        "currency": "USD",
        "marketState": "REGULAR",
        "exchangeDataDelayedBy": 15,
        **fields,
    }


def a_quote_answer(*rows: dict[str, Any], symbols: tuple[str, ...] = ("AAPL",)) -> RawResponse:
    body = json.dumps({"quoteResponse": {"result": list(rows), "error": None}})
    return a_raw(symbols, provider="yfinance", url=QUOTE_URL, body=body.encode())


def a_chart_answer(*, status: int = 200, body: object = None, **meta: Any) -> RawResponse:
    told = {
        "symbol": "AAPL",
        "currency": "USD",
        "regularMarketPrice": 231.5,
        "regularMarketTime": SECOND,
        **meta,
    }
    content = body if body is not None else {"chart": {"result": [{"meta": told}], "error": None}}
    return a_raw(provider="yfinance", url=CHART_URL, body=json.dumps(content).encode(), status=status)


def reasons(parsed: Parsed) -> dict[str, str]:
    return {symbol: error.reason for symbol, error in parsed.failures.items()}


def test_a_quote_row_is_read_whole() -> None:
    quote = read(a_quote_answer(a_row())).quotes["AAPL"]

    assert (quote.price, quote.currency, quote.market_state) == (Decimal("231.5"), "USD", "REGULAR")
    assert quote.observed_at == NOON - timedelta(seconds=60)
    assert quote.delayed_by_seconds == 900


def test_a_chart_is_read_whole() -> None:
    noon = int(NOON.timestamp())
    periods = {"regular": {"start": noon - 600, "end": noon + 600}}

    quote = read(a_chart_answer(currentTradingPeriod=periods)).quotes["AAPL"]

    assert (quote.price, quote.currency, quote.market_state) == (Decimal("231.5"), "USD", "REGULAR")


@pytest.mark.parametrize(
    ("name", "state"), [("regular", "REGULAR"), ("pre", "PRE"), ("post", "POST"), ("other", "CLOSED")]
)
def test_a_chart_s_market_state_is_the_period_it_was_fetched_in(name: str, state: str) -> None:
    noon = int(NOON.timestamp())

    read_quote = read(a_chart_answer(currentTradingPeriod={name: {"start": noon, "end": noon + 1}}))

    assert read_quote.quotes["AAPL"].market_state == state


def test_prices_are_read_digit_for_digit() -> None:
    raw = a_quote_answer(a_row())
    body = raw.body.replace(b"231.5", b"0.1000000001")

    quotes = read(a_raw(provider="yfinance", url=QUOTE_URL, body=body)).quotes

    assert quotes["AAPL"].price == Decimal("0.1000000001")


def test_float_noise_beyond_twelve_decimals_is_rounded_away() -> None:
    quotes = read(a_quote_answer(a_row(regularMarketPrice=228.02000427246094))).quotes

    assert quotes["AAPL"].price == Decimal("228.020004272461")


@pytest.mark.parametrize(
    ("unit", "currency"), [("GBp", "GBP"), ("ZAc", "ZAR"), ("ILA", "ILS"), ("USX", "USD")]
)
def test_hundredths_of_a_currency_become_the_currency(unit: str, currency: str) -> None:
    quote = read(a_quote_answer(a_row(currency=unit, regularMarketPrice=72.46))).quotes["AAPL"]

    assert (quote.price, quote.currency) == (Decimal("0.7246"), currency)


def test_pounds_are_not_pence() -> None:
    quote = read(a_quote_answer(a_row(currency="GBP", regularMarketPrice=72.46))).quotes["AAPL"]

    assert (quote.price, quote.currency) == (Decimal("72.46"), "GBP")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"regularMarketPrice": None}, "no_data"),
        ({"regularMarketTime": None}, "no_data"),
        ({"regularMarketPrice": float("nan")}, "bad_response"),
        ({"regularMarketPrice": float("inf")}, "bad_response"),
        ({"regularMarketPrice": "231.5"}, "bad_response"),
        ({"regularMarketPrice": True}, "bad_response"),
        ({"regularMarketPrice": {"raw": 231.5}}, "bad_response"),
        ({"regularMarketPrice": 10**18}, "bad_response"),
        ({"regularMarketPrice": 10**400}, "bad_response"),
        ({"regularMarketTime": SECOND * 1000}, "bad_response"),
        ({"regularMarketTime": "yesterday"}, "bad_response"),
        ({"regularMarketTime": 0}, "bad_response"),
        ({"regularMarketTime": SECOND + 7200}, "bad_response"),
        ({"currency": 7}, "bad_response"),
    ],
)
def test_one_senseless_row_fails_alone(fields: dict[str, Any], reason: str) -> None:
    parsed = read(a_quote_answer(a_row(**fields), a_row(symbol="MSFT"), symbols=("AAPL", "MSFT")))

    assert reasons(parsed) == {"AAPL": reason}
    assert set(parsed.quotes) == {"MSFT"}


BEYOND = [
    "1e99999999999999999999",
    "-1E-99999999999999999999",
    "1e1000000",
    "0.0e+9999999999999999999",
    "9" * 5000,
    "9999999999999999.999999999999999",  # rounded it has 17 digits before the point and 12 behind
]


@pytest.mark.parametrize("field", ["regularMarketPrice", "regularMarketTime", "currency"])
@pytest.mark.parametrize("number", BEYOND, ids=lambda text: text[:18])
def test_a_number_beyond_all_bounds_fails_its_symbol_alone(field: str, number: str) -> None:
    raw = a_quote_answer(a_row(**{field: "BEYOND"}), a_row(symbol="MSFT"), symbols=("AAPL", "MSFT"))

    parsed = read(replace(raw, body=raw.body.replace(b'"BEYOND"', number.encode())))

    assert reasons(parsed) == {"AAPL": "bad_response"}
    assert set(parsed.quotes) == {"MSFT"}


@pytest.mark.parametrize("field", ["exchangeDataDelayedBy", "marketState", "priceHint"])
@pytest.mark.parametrize("number", BEYOND, ids=lambda text: text[:18])
def test_a_number_beyond_all_bounds_in_what_a_price_can_do_without_harms_nothing(
    field: str, number: str
) -> None:
    raw = a_quote_answer(a_row(**{field: "BEYOND"}))

    quote = read(replace(raw, body=raw.body.replace(b'"BEYOND"', number.encode()))).quotes["AAPL"]

    assert quote.price == Decimal("231.5")


def test_an_answer_is_silent_about_symbols_it_leaves_out_and_not_asked_for() -> None:
    parsed = read(a_quote_answer(a_row(symbol="MSFT"), symbols=("AAPL",)))

    assert parsed == Parsed()


def test_a_chart_that_is_not_found_is_an_unknown_symbol() -> None:
    body = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}

    assert reasons(read(a_chart_answer(status=404, body=body))) == {"AAPL": "unknown_symbol"}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, b"Too Many Requests\r\n", "rate_limited"),
        (200, b"<html>Edge: Too Many Requests</html>", "rate_limited"),
        (401, b"{}", "blocked"),
        (403, b"", "blocked"),
        (999, b"", "blocked"),
        (302, b"", "blocked"),
        (200, b"<html>Before you continue</html>", "blocked"),
        (200, b"<html><h1>Will be right back...</h1></html>", "upstream_unavailable"),
        (500, b"", "upstream_unavailable"),
        (502, b"<html></html>", "upstream_unavailable"),
        (404, b"<html>not here</html>", "bad_response"),
        (400, b"{}", "bad_response"),
        (200, b"", "bad_response"),
        (200, b'{"quoteResponse":', "bad_response"),
        (200, b"{}", "bad_response"),
        (200, b"[]", "bad_response"),
        (200, b"null", "bad_response"),
        (200, b'{"quoteResponse":{"result":null}}', "bad_response"),
        (200, b'{"quoteResponse":{"result":[7]}}', "bad_response"),
        (200, b"[" * 100_000, "bad_response"),
    ],
)
@pytest.mark.parametrize("url", [QUOTE_URL, CHART_URL])
def test_a_useless_answer_fails_its_symbols_with_the_reason(
    url: str, status: int, body: bytes, reason: str
) -> None:
    raw = a_raw(provider="yfinance", url=url, body=body, status=status)

    assert reasons(read(raw)) == {"AAPL": reason}


def test_retry_after_is_kept() -> None:
    raw = a_raw(provider="yfinance", url=QUOTE_URL, status=429)
    limited = RawResponse(
        raw.raw_response_id, raw.provider, raw.url, 429, {"retry-after": "40"}, b"", raw.symbols, NOON
    )

    error = read(limited).failures["AAPL"]

    assert isinstance(error, Transient)
    assert error.retry_after == timedelta(seconds=40)


@pytest.mark.parametrize("body", [b"", b"Too Many Requests", b"<html></html>", b'{"finance":{}}', b"x" * 65])
def test_an_apology_is_no_crumb(body: bytes) -> None:
    assert "AAPL" in read(a_raw(provider="yfinance", url=CRUMB_URL, body=body)).failures


@pytest.mark.parametrize("url", [CRUMB_URL, "https://fc.yahoo.com/", "https://query1.finance.yahoo.com/ws/x"])
def test_answers_that_are_no_prices_say_nothing(url: str) -> None:
    assert read(a_raw(provider="yfinance", url=url, body=b"Wk.3xZ9/ab1")) == Parsed()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


FIELDS = (
    "symbol",
    "regularMarketPrice",
    "regularMarketTime",
    "currency",
    "marketState",
    "exchangeDataDelayedBy",
    "currentTradingPeriod",
)
periods = st.fixed_dictionaries(
    {"regular": st.fixed_dictionaries(dict.fromkeys(("start", "end"), st.floats()))}
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values | periods)),
    st.sampled_from([QUOTE_URL, CHART_URL]),
)
def test_no_row_breaks_the_reader(fields: dict[str, Any], url: str) -> None:
    row = a_row(**fields)
    content = (
        {"quoteResponse": {"result": [row]}} if url is QUOTE_URL else {"chart": {"result": [{"meta": row}]}}
    )
    raw = a_raw(provider="yfinance", url=url, body=json.dumps(content).encode())

    parsed = read(raw)

    assert all(quote.price.is_finite() for quote in parsed.quotes.values())


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,30})?", fullmatch=True))
def test_no_number_breaks_the_reader_or_harms_its_neighbour(number: str) -> None:
    raw = a_quote_answer(a_row(regularMarketPrice="NUMBER"), a_row(symbol="MSFT"), symbols=("AAPL", "MSFT"))

    parsed = read(replace(raw, body=raw.body.replace(b'"NUMBER"', number.encode())))

    assert "MSFT" in parsed.quotes
    assert set(parsed.quotes) | set(parsed.failures) == {"AAPL", "MSFT"}


@given(st.binary(max_size=200), st.sampled_from([QUOTE_URL, CHART_URL, CRUMB_URL]), st.integers(100, 999))
def test_no_bytes_break_the_reader(body: bytes, url: str, status: int) -> None:
    read(a_raw(provider="yfinance", url=url, body=body, status=status))
