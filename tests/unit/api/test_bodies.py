import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from marketdata_api.bodies import parse, require_json
from marketdata_api.problems import Problem

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_json_is_what_it_says(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    with suppress(Problem):
        parse(body)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"symbols": ["A"], "symbols": ["B"], "interval": 60}', ["#/symbols"]),
        (b'{"slo": {"target": "99", "target": "99"}}', ["#/slo/target"]),
        (b'{"a": 1, "a": 1, "b": [{"c": 1, "c": 2}], "a": 2}', ["#/a", "#/b/0/c"]),
    ],
)
def test_a_field_that_is_there_twice_is_refused_where_it_is(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(Problem, match="more than once") as caught:
        parse(body)

    assert [entry.render()["pointer"] for entry in caught.value.errors] == pointers


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        (b"[" * 20_000, "nested"),
        (b"[" * 17 + b"]" * 17, "nested"),
        (b"[" * 900 + b"]" * 900, "nested"),
        (b'{"a": ' * 20_000 + b"1" + b"}" * 20_000, "nested"),
        (b'{"symbols": ["\xff"]}', "UTF-8 at byte 14; send JSON in UTF-8"),
        (b"{,}", "line 1, column 2"),
        (b"NaN", "send digits or null"),
    ],
)
def test_a_body_that_cannot_be_read_says_what_to_send(body: bytes, remedy: str) -> None:
    with pytest.raises(Problem, match=remedy) as caught:
        parse(body)

    assert caught.value.kind.slug == "validation"


def test_a_number_too_long_to_be_read_is_beyond_every_limit() -> None:
    assert parse(b"[" + b"9" * 5_000 + b"]") == [math.inf]
    assert parse(b"[-" + b"9" * 5_000 + b"]") == [math.inf]


@pytest.mark.parametrize(
    "named",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/merge-patch+json",
        "application/json;",
    ],
)
def test_json_is_taken_under_each_of_its_names(named: str) -> None:
    require_json(Headers({"content-type": named}))


@pytest.mark.parametrize(
    "named",
    [None, "", "application/x-www-form-urlencoded", "text/plain", "text/json", "application/jsonp", "json"],
)
def test_a_body_under_another_name_or_none_is_told_the_right_one(named: str | None) -> None:
    with pytest.raises(Problem, match="application/json") as caught:
        require_json(Headers({} if named is None else {"content-type": named}))

    assert caught.value.kind.status == 415
    assert caught.value.headers == {"accept": "application/json"}


def test_a_compressed_body_is_told_to_come_as_it_is() -> None:
    with pytest.raises(Problem, match="without Content-Encoding") as caught:
        require_json(Headers({"content-type": "application/json", "content-encoding": "gzip"}))

    assert caught.value.headers == {"accept-encoding": "identity"}
