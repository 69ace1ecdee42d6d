"""What an answer must be for the poller to take it up at all."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import pytest

from marketdata.domain.answer import Answer
from marketdata.identifiers import uuid7
from marketdata_poller.contract import breach
from support.builders import NOON, a_quote, a_raw

PAST_9999 = UUID("ffffffff-ffff-7000-8000-000000000000")  # 48 bits of milliseconds reach to the year 10889


def an_answer(
    raws: Any = (), quotes: Any = MappingProxyType({}), failures: Any = MappingProxyType({})
) -> Answer:
    """Return an answer that may hold what its types forbid, as one of a plug-in may."""
    return Answer(raws, quotes, failures)


def test_a_sound_answer_breaks_nothing() -> None:
    raw = a_raw()

    assert breach(Answer((raw,), {"AAPL": (a_quote(), raw.raw_response_id)}, {})) is None
    assert breach(Answer((), {}, {})) is None


def test_a_list_will_do_for_a_tuple() -> None:
    fields: dict[str, Any] = {"symbols": ["AAPL"]}

    assert breach(an_answer(raws=[replace(a_raw(), **fields)])) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"raw_response_id": "7"}, "raw_response_id"),
        ({"raw_response_id": uuid4()}, "raw_response_id"),
        ({"raw_response_id": PAST_9999}, "raw_response_id"),
        ({"raw_response_id": uuid7(NOON + timedelta(days=2))}, "raw_response_id"),
        ({"raw_response_id": uuid7(NOON - timedelta(days=2))}, "raw_response_id"),
        ({"provider": None}, "provider"),
        ({"url": b"https://"}, "url"),
        ({"status": "200"}, "status"),
        ({"status": 2**31}, "status"),
        ({"status": True}, "status"),
        ({"provider": "acme\0"}, "provider"),
        ({"headers": None}, "headers"),
        ({"headers": {"age": 7}}, "headers"),
        ({"headers": {b"age": "7"}}, "headers"),
        ({"body": "{}"}, "body"),
        ({"body": None}, "body"),
        ({"symbols": "AAPL"}, "symbols"),
        ({"symbols": (7,)}, "symbols"),
        ({"symbols": ("A\0",)}, "symbols"),
        ({"fetched_at": "2026-03-02T12:00:00Z"}, "fetched_at"),
        ({"fetched_at": NOON.replace(tzinfo=None)}, "fetched_at"),
    ],
)
def test_a_raw_answer_that_cannot_be_kept_is_named_by_its_field(fields: dict[str, Any], named: str) -> None:
    told = breach(Answer((a_raw(), replace(a_raw(), **fields)), {}, {}))

    assert told is not None
    assert named in told


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        an_answer(raws=None),
        an_answer(raws=a_raw()),
        an_answer(raws=iter(())),
        an_answer(raws=(7,)),
        an_answer(quotes=[]),
        an_answer(failures=None),
    ],
)
def test_what_is_no_answer_is_a_breach(answer: object) -> None:
    assert breach(answer) is not None
