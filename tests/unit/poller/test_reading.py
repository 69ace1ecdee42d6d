"""What an answer comes to, whatever a provider put into it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.answer import Answer, Quote
from marketdata.domain.poll import Outcome
from marketdata.errors import BreakerOpen, BudgetExhausted, StoreUnavailable, UnknownSymbol, UpstreamTimeout
from marketdata.identifiers import time_of
from marketdata.messages import price_event
from marketdata_poller.reading import read
from support import strategies
from support.builders import NOON, a_quote, a_raw, at


def reading_of(quotes=None, failures=None, *, symbols=("A", "B")):
    raw = a_raw(symbols)
    given = {symbol: (quote, raw.raw_response_id) for symbol, quote in (quotes or {}).items()}
    answer = Answer((raw,), given, failures or {})
    return read(answer, provider="yfinance", symbols=symbols, asked_at=at(-1), intervals={"A": 60}), raw


def an_odd_quote(**fields: Any) -> Quote:
    """Return a quote of A that holds what its types forbid, as one of a plug-in may."""
    return replace(a_quote("A"), **fields)


def an_odd_answer(quotes: Any, failures: Any) -> Answer:
    return Answer((), quotes, failures)


def test_a_quote_becomes_an_event_that_leads_to_its_bytes():
    reading, raw = reading_of({"A": a_quote("A", "1.25")}, symbols=("A",))
    (observation,) = reading.observations

    assert observation.point.raw_response_id == raw.raw_response_id
    assert observation.point.fetched_at == raw.fetched_at
    assert (observation.point.provider, observation.point.price) == ("yfinance", Decimal("1.25"))
    assert observation.point.interval_seconds == 60
    assert time_of(observation.event_id) == raw.fetched_at


@pytest.mark.parametrize(
    "quote",
    [
        a_quote("A", Decimal("NaN")),
        a_quote("A", Decimal("Infinity")),
        a_quote("A", Decimal(10) ** 16),
        a_quote("A", Decimal("1E-13")),
        a_quote("A", observed_at=NOON.replace(tzinfo=None)),
        a_quote("A", observed_at=NOON + timedelta(days=1)),
        a_quote("A", Decimal("1e1000000")),
        a_quote("A", currency="\ud800"),
        a_quote("A", currency="US\0"),
        a_quote("A", currency="x" * 33),
        a_quote("A", market_state="RÉGULAR"),
        a_quote("A", delayed_by_seconds=-1),
        a_quote("A", delayed_by_seconds=2**31),
        an_odd_quote(price=1.5),
        an_odd_quote(price="1.5"),
        an_odd_quote(observed_at="2026-03-02T12:00:00Z"),
        an_odd_quote(observed_at=datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
        an_odd_quote(currency=b"USD"),
        an_odd_quote(market_state=object()),
        an_odd_quote(delayed_by_seconds=True),
        an_odd_quote(delayed_by_seconds=60.0),
    ],
    ids=[
        "NaN",
        "infinite",
        "too large",
        "too fine",
        "no time zone",
        "from the future",
        "1e1000000",
        "surrogate",
        "NUL",
        "33 letters",
        "no ASCII",
        "delay below 0",
        "delay over 32 bits",
        "float",
        "text",
        "time as text",
        "before all time",
        "bytes",
        "an object",
        "delay a truth",
        "delay a float",
    ],
)
def test_a_quote_that_breaks_a_rule_is_a_bad_response_of_its_symbol_alone(quote):
    reading, _ = reading_of({"A": quote, "B": a_quote("B")})

    assert [each.point.symbol for each in reading.observations] == ["B"]
    assert (reading.missed["A"].outcome, reading.missed["A"].reason) == (Outcome.FAILED, "bad_response")


def test_a_quote_that_breaks_a_rule_says_which():
    reading, _ = reading_of({"A": an_odd_quote(price=1.5), "B": a_quote("B", currency="x" * 40)})

    assert reading.missed["A"].message == "the price is a float, not a Decimal"
    assert "currency" in reading.missed["B"].message


@pytest.mark.parametrize(
    "answer",
    [
        an_odd_answer({"A": None}, {}),
        an_odd_answer({"A": a_quote("A")}, {}),
        an_odd_answer({"A": ("231.5", uuid4())}, {}),
        an_odd_answer({"A": (a_quote("A"), [])}, {}),
        an_odd_answer({}, {"A": "it failed"}),
        an_odd_answer({}, {"A": UnknownSymbol}),
        an_odd_answer({}, {"A": ValueError()}),
    ],
    ids=["None", "no id", "no quote", "odd id", "a text", "a class", "a foreign error"],
)
def test_what_is_neither_quote_nor_failure_is_a_bad_response_of_its_symbol_alone(answer):
    raw = a_raw(("B",))
    good = {"B": (a_quote("B"), raw.raw_response_id)}
    answer = Answer((raw,), {**answer.quotes, **good}, answer.failures)

    reading = read(answer, provider="p", symbols=("A", "B"), asked_at=at(0), intervals={})

    assert [each.point.symbol for each in reading.observations] == ["B"]
    assert reading.missed["A"].reason == "bad_response"


zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(seconds=17))])
odd_words = st.none() | st.text(max_size=40) | st.sampled_from(["USD", "\ud800", "US\0", "x" * 32, "x" * 33])
odd_quotes = st.builds(
    Quote,
    symbol=st.just("A"),
    price=st.decimals() | strategies.prices | st.floats() | st.integers(),
    observed_at=st.datetimes(timezones=zones) | st.datetimes() | strategies.instants,
    currency=odd_words | st.binary(max_size=3),
    market_state=odd_words,
    delayed_by_seconds=st.none() | st.integers() | st.integers(0, 2**31 - 1) | st.floats() | st.booleans(),
)


@given(odd_quotes, strategies.instants, strategies.providers, st.none() | st.integers(1, 86_400))
def test_what_is_accepted_arrives_as_it_was_quoted_and_all_else_is_a_bad_response(
    quote, fetched_at, provider, interval
):
    raw = a_raw(("A",), fetched_at=fetched_at)
    answer = Answer((raw,), {"A": (quote, raw.raw_response_id)}, {})
    intervals = {"A": interval} if interval else {}

    reading = read(answer, provider=provider, symbols=("A",), asked_at=at(0), intervals=intervals)

    assert {each.reason for each in reading.missed.values()} <= {"bad_response"}
    assert len(reading.observations) + len(reading.missed) == 1
    for observation in reading.observations:
        point = observation.point
        assert price_event.decode(price_event.encode(point)) == point
        assert (point.price, point.observed_at, point.currency, point.market_state) == (
            quote.price,
            quote.observed_at,
            quote.currency,
            quote.market_state,
        )
        assert (point.delayed_by_seconds, point.interval_seconds) == (quote.delayed_by_seconds, interval)
        assert point.fetched_at == fetched_at


@given(st.data())
def test_no_sound_quote_is_refused(data):
    point = data.draw(strategies.price_points)
    raw = a_raw((point.symbol,), fetched_at=point.fetched_at)
    quote = Quote(
        point.symbol,
        point.price,
        point.observed_at,
        point.currency,
        point.market_state,
        point.delayed_by_seconds,
    )
    answer = Answer((raw,), {point.symbol: (quote, raw.raw_response_id)}, {})

    reading = read(answer, provider=point.provider, symbols=(point.symbol,), asked_at=at(0), intervals={})

    assert reading.missed == {}


def test_a_forgotten_symbol_and_a_price_without_bytes_are_bad_responses():
    answer = Answer((), {"A": (a_quote("A"), uuid4())}, {})
    reading = read(answer, provider="p", symbols=("A", "B"), asked_at=at(0), intervals={})

    assert {symbol: each.reason for symbol, each in reading.missed.items()} == {
        "A": "bad_response",
        "B": "bad_response",
    }


@pytest.mark.parametrize("error", [BreakerOpen(), BudgetExhausted(), StoreUnavailable()])
def test_what_was_never_sent_is_skipped(error):
    reading, _ = reading_of({}, {"A": error, "B": UnknownSymbol()})

    assert reading.missed["A"].outcome is Outcome.SKIPPED
    assert reading.missed["B"].outcome is Outcome.FAILED


def test_a_failure_keeps_its_reason_and_when_it_was_asked():
    reading, _ = reading_of({}, dict.fromkeys("AB", UpstreamTimeout("too slow")))

    assert reading.missed["A"].reason == "upstream_timeout"
    assert reading.missed["A"].message == "too slow"
    assert reading.missed["A"].asked_at == at(-1)
