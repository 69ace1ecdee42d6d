"""What an answer comes to, whatever a provider put into it."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from marketdata.domain.answer import Answer
from marketdata.domain.poll import Outcome
from marketdata.errors import BreakerOpen, BudgetExhausted, StoreUnavailable, UnknownSymbol, UpstreamTimeout
from marketdata.identifiers import time_of
from marketdata_poller.reading import read
from support.builders import NOON, a_quote, a_raw, at


def reading_of(quotes=None, failures=None, *, symbols=("A", "B")):
    raw = a_raw(symbols)
    given = {symbol: (quote, raw.raw_response_id) for symbol, quote in (quotes or {}).items()}
    answer = Answer((raw,), given, failures or {})
    return read(answer, provider="yfinance", symbols=symbols, asked_at=at(-1), intervals={"A": 60}), raw


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
    ],
    ids=["NaN", "infinite", "too large", "too fine", "no time zone", "from the future"],
)
def test_a_quote_that_breaks_a_rule_is_a_bad_response_of_its_symbol_alone(quote):
    reading, _ = reading_of({"A": quote, "B": a_quote("B")})

    assert [each.point.symbol for each in reading.observations] == ["B"]
    assert (reading.missed["A"].outcome, reading.missed["A"].reason) == (Outcome.FAILED, "bad_response")


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
