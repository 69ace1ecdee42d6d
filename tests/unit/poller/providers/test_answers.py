"""From raw answers to an outcome for each symbol."""

from dataclasses import replace
from datetime import timedelta

import pytest

from marketdata.domain.answer import Parsed, RawResponse
from marketdata.errors import BadResponse, NoData, RateLimited, Transient, UnknownSymbol
from marketdata_poller.providers.answers import combine
from support.builders import a_quote, a_raw

LIMITED = RateLimited()
UNKNOWN = UnknownSymbol()
FIRST, SECOND = a_raw(("A", "B", "C")), a_raw(("B",))
SAID = {
    FIRST.raw_response_id: Parsed(quotes={"A": a_quote("A")}, failures={"B": LIMITED}),
    SECOND.raw_response_id: Parsed(quotes={"B": a_quote("B", "2")}),
}


def parse(raw: RawResponse) -> Parsed:
    return SAID[raw.raw_response_id]


def test_a_later_quote_replaces_a_failure_and_names_its_own_answer() -> None:
    answer = combine(("A", "B"), (FIRST, SECOND), parse)

    assert answer.quotes == {
        "A": (a_quote("A"), FIRST.raw_response_id),
        "B": (a_quote("B", "2"), SECOND.raw_response_id),
    }
    assert answer.failures == {}


def test_a_quote_is_not_lost_to_a_later_failure() -> None:
    assert combine(("B",), (SECOND, FIRST), parse).failures == {}


def test_what_no_answer_speaks_of_has_the_reason_given_for_it() -> None:
    answer = combine(("A", "C", "D"), (FIRST,), parse, unanswered={"C": UNKNOWN})

    assert answer.failures["C"] is UNKNOWN
    assert isinstance(answer.failures["D"], NoData)


def test_one_reason_may_stand_for_all() -> None:
    reason = BadResponse()

    assert combine(("X", "Y"), (), parse, unanswered=reason).failures == {"X": reason, "Y": reason}


def test_what_was_not_asked_is_left_out() -> None:
    answer = combine(("C",), (FIRST, SECOND), parse)

    assert answer.quotes == {}
    assert set(answer.failures) == {"C"}
    assert answer.raws == (FIRST, SECOND)


def overwhelmed(raw: RawResponse) -> Parsed:
    if raw is SECOND:
        return parse(raw)
    raise ZeroDivisionError


def test_an_answer_that_its_reader_cannot_take_is_kept_and_fails_its_symbols_alone() -> None:
    answer = combine(("A", "B", "C"), (FIRST, SECOND), overwhelmed)

    assert answer.raws == (FIRST, SECOND)
    assert set(answer.quotes) == {"B"}
    assert {symbol: error.reason for symbol, error in answer.failures.items()} == {
        "A": "bad_response",
        "C": "bad_response",
    }
    assert "ZeroDivisionError" in str(answer.failures["A"])


@pytest.mark.parametrize(("status", "reason"), [(429, "rate_limited"), (503, "bad_response")])
def test_what_the_status_says_counts_also_where_the_reader_fails(status: int, reason: str) -> None:
    refused = replace(FIRST, status=status, headers={"retry-after": "33"})

    error = combine(("A",), (refused,), overwhelmed).failures["A"]

    assert isinstance(error, Transient)
    assert (error.reason, error.retry_after) == (reason, timedelta(seconds=33))
