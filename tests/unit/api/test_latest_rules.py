from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import InvalidInput
from marketdata.messages.latest import render
from marketdata_api.latest import matches, parse_query, prepare
from support.builders import NOON, a_price, at


@pytest.mark.parametrize(
    ("query", "series", "key"),
    [
        (b"symbol=AAPL&provider=yfinance", ("AAPL", "yfinance"), b"latest_price_AAPL_yfinance"),
        (b"provider=yfinance&symbol=aapl", ("AAPL", "yfinance"), b"latest_price_AAPL_yfinance"),
        (b"symbol=AAPL", ("AAPL", None), b"latest_price_AAPL_any"),
        (b"symbol=AAPL&provider=", ("AAPL", None), b"latest_price_AAPL_any"),
        (b"symbol=%5EGSPC", ("^GSPC", None), b"latest_price_^GSPC_any"),
        (b"symbol=A&x=1&x=2", ("A", None), b"latest_price_A_any"),
        (b"x=1&symbol=A&&y", ("A", None), b"latest_price_A_any"),
    ],
)
def test_a_query_names_a_series_and_its_key(query: bytes, series: tuple[str, str | None], key: bytes) -> None:
    assert parse_query(query) == (series, key)


@pytest.mark.parametrize(
    ("query", "field"),
    [(b"symbol=A&symbol=B", "symbol"), (b"symbol=A&provider=yfinance&provider=", "provider")],
)
def test_a_parameter_that_is_there_twice_is_refused_by_name(query: bytes, field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field} is there more than once") as caught:
        parse_query(query)

    assert caught.value.field == field


@given(st.binary(max_size=200))
def test_any_query_is_read_or_refused_and_nothing_else(query: bytes) -> None:
    try:
        series, key = parse_query(query)
    except InvalidInput:
        return
    assert b" " not in key
    assert series[0]


@given(st.binary(max_size=300))
def test_bytes_that_are_no_rendering_are_told_apart(rendered: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a rendering|[Ii]nvalid|utf-8|not found"):
        prepare(rendered)


@pytest.mark.parametrize("digits", [b"9" * 400, b"1" + b"0" * 399, b"9" * 5_000])
def test_a_staleness_beyond_all_numbers_is_no_rendering(digits: bytes) -> None:
    rendered = render(a_price(interval_seconds=30)).replace(b":100}", b":" + digits + b"}")

    with pytest.raises(ValueError, match=r"not a rendering|integer string"):
        prepare(rendered)


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_price_of_any_year_can_be_answered(year: int) -> None:
    first, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    for fetched_at in (first, last):
        prepared = prepare(render(a_price(fetched_at=fetched_at, raw_response_id=uuid4())))

        assert prepared.last_modified.endswith(b" GMT")
        assert prepared.body.at(NOON.timestamp())
        assert 0 <= prepared.max_age(NOON.timestamp()) <= 60


@pytest.mark.parametrize(
    ("header", "is_match"),
    [
        (b'W/"a"', True),
        (b'"a"', True),
        (b"*", True),
        (b'"x", W/"a"', True),
        (b'W/"b"', False),
        (b"a", False),
        (b"", False),
    ],
)
def test_tags_are_compared_weakly(header: bytes, *, is_match: bool) -> None:
    assert matches(header, b'W/"a"') is is_match


def test_the_tag_changes_with_the_rank_the_price_and_staleness_and_not_with_age() -> None:
    one = prepare(render(a_price()))

    assert one.tags[0] != one.tags[1]
    assert prepare(render(a_price(price="1"))).tags[0] != one.tags[0]
    assert prepare(render(a_price(observed_at=at(1)))).tags[0] != one.tags[0]
    assert one.last_modified == b"Mon, 02 Mar 2026 12:00:01 GMT"


def test_an_answer_may_be_kept_until_the_next_poll_is_expected() -> None:
    price = prepare(render(a_price(fetched_at=NOON, interval_seconds=30)))
    now = NOON.timestamp()

    assert [price.max_age(now + seconds) for seconds in (0, 10, 29.5, 31, 1_000)] == [30, 20, 0, 0, 0]
