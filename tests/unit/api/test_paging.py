from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.symbol import parse_provider
from marketdata_api.paging import PageTokens
from marketdata_api.problems import Problem

_filters = st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.booleans(), max_size=4)


_NOON = "2026-01-01T12:00:00+00:00"


def _read(token: str, *, of: str = "jobs", filters: Any = None, tie: Any = str) -> tuple[datetime, Any]:
    return PageTokens().read(token, of=of, filters=filters or {}, tie=tie)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), _filters)
def test_a_token_leads_back_to_where_it_was_issued(
    at: datetime, tie: UUID, filters: dict[str, object]
) -> None:
    token = PageTokens().issue((at.isoformat(), str(tie)), of="jobs", filters=filters)

    assert _read(token, filters=dict(reversed(filters.items())), tie=UUID) == (at, tie)


@pytest.mark.parametrize(
    ("position", "tie"),
    [
        (("garbage", str(uuid4())), UUID),
        ((_NOON, "x"), UUID),
        (("2026-01-01T12:00:00", "yfinance"), parse_provider),  # no zone
        (("0001-01-01T00:00:00+23:59", "yfinance"), parse_provider),  # before the first time there is
        (("9999-12-31T23:59:59-23:59", "yfinance"), parse_provider),
        ((_NOON, "a\0b"), parse_provider),
        ((_NOON, ""), parse_provider),
    ],
)
def test_a_signed_token_whose_position_is_none_is_refused(position: tuple[str, str], tie: Any) -> None:
    token = PageTokens().issue(position, of="jobs", filters={})

    with pytest.raises(Problem, match="page_token") as caught:
        _read(token, tie=tie)

    assert caught.value.kind.slug == "page-token-invalid"


@given(st.text())
def test_an_invented_token_is_refused(token: str) -> None:
    with pytest.raises(Problem, match="page_token"):
        _read(token)


@given(st.data())
def test_a_token_with_any_letter_changed_is_refused(data: st.DataObject) -> None:
    token = PageTokens().issue((_NOON, "x"), of="jobs", filters={"provider": None})
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("ABCabc019-_").filter(lambda other: other != token[place]))

    with pytest.raises(Problem):
        _read(token[:place] + letter + token[place + 1 :], filters={"provider": None})


def test_other_filters_another_listing_or_another_key_refuse_a_token() -> None:
    token = PageTokens().issue((_NOON, "x"), of="jobs", filters={"provider": "a"})

    assert _read(token, filters={"provider": "a"})[1] == "x"
    for tokens, of, filters in (
        (PageTokens(), "jobs", {"provider": "b"}),
        (PageTokens(), "jobs", {}),
        (PageTokens(), "history", {"provider": "a"}),
        (PageTokens(b"own"), "jobs", {"provider": "a"}),
    ):
        with pytest.raises(Problem):
            tokens.read(token, of=of, filters=filters, tie=str)
