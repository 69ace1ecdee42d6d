import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata_api.paging import PageTokens
from marketdata_api.problems import Problem

_filters = st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.booleans(), max_size=4)


@given(st.text(), st.text(), _filters)
def test_a_token_leads_back_to_where_it_was_issued(at: str, tie: str, filters: dict[str, object]) -> None:
    tokens = PageTokens()

    token = tokens.issue((at, tie), of="jobs", filters=filters)
    if len(token) <= 512:
        assert tokens.read(token, of="jobs", filters=dict(reversed(filters.items()))) == (at, tie)


@given(st.text())
def test_an_invented_token_is_refused(token: str) -> None:
    with pytest.raises(Problem, match="page_token"):
        PageTokens().read(token, of="jobs", filters={})


@given(st.data())
def test_a_token_with_any_letter_changed_is_refused(data: st.DataObject) -> None:
    token = PageTokens().issue(("2026-01-01T00:00:00+00:00", "x"), of="jobs", filters={"provider": None})
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("ABCabc019-_").filter(lambda other: other != token[place]))

    with pytest.raises(Problem):
        PageTokens().read(token[:place] + letter + token[place + 1 :], of="jobs", filters={"provider": None})


def test_other_filters_another_listing_or_another_key_refuse_a_token() -> None:
    token = PageTokens().issue(("t", "x"), of="jobs", filters={"provider": "a"})

    for tokens, of, filters in (
        (PageTokens(), "jobs", {"provider": "b"}),
        (PageTokens(), "jobs", {}),
        (PageTokens(), "history", {"provider": "a"}),
        (PageTokens(b"own"), "jobs", {"provider": "a"}),
    ):
        with pytest.raises(Problem):
            tokens.read(token, of=of, filters=filters)
