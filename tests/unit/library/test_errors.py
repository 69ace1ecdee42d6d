import inspect
import re
from datetime import timedelta

import pytest

from marketdata import errors
from marketdata.errors import MarketDataError

CLASSES = [
    member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, MarketDataError)
]


def drawn() -> dict[str, str]:
    """Return class -> parent as the docstring draws them."""
    parents: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(?P<rails>[ │├└─]*)(?P<name>[A-Z][A-Za-z]+)(?:\s{2,}.*| .*)?$", line)
        if not found or ("─" not in found["rails"] and found["name"] != "MarketDataError"):
            continue
        depth = len(found["rails"])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        parents[found["name"]] = stack[-1][1] if stack else "Exception"
        stack.append((depth, found["name"]))
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == {member.__name__: member.__bases__[0].__name__ for member in CLASSES}


@pytest.mark.parametrize("member", CLASSES, ids=lambda member: member.__name__)
def test_an_error_without_a_message_says_its_docstring(member: type[MarketDataError]) -> None:
    assert str(member()) == (member.__doc__ or "").strip()
    assert str(member("what happened")) == "what happened"


def test_a_reason_is_a_stable_word_for_labels() -> None:
    reasons = {member().reason for member in CLASSES}

    assert errors.RateLimited().reason == "rate_limited"
    assert len(reasons) == len(CLASSES)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in reasons)


def test_a_transient_error_may_say_when_to_try_again() -> None:
    assert errors.RateLimited(retry_after=timedelta(seconds=7)).retry_after == timedelta(seconds=7)
    assert errors.Blocked().retry_after is None


def test_invalid_input_names_its_field() -> None:
    assert errors.InvalidInput("wrong", field="symbols/0").field == "symbols/0"
