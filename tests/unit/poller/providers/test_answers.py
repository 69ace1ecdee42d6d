"""From raw answers to an outcome for each symbol."""

from marketdata.domain.answer import Parsed, RawResponse
from marketdata.errors import BadResponse, NoData, RateLimited, UnknownSymbol
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
