import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from marketdata.domain.price import PricePoint
from marketdata.messages import latest
from support import strategies
from support.builders import NOON, a_price


def order(point: PricePoint) -> tuple[datetime, datetime, bytes]:
    return (point.observed_at, point.fetched_at, point.raw_response_id.bytes)


@given(strategies.price_points)
def test_a_rendering_says_what_the_point_says(point: PricePoint) -> None:
    body = json.loads(latest.render(point), parse_float=Decimal, parse_int=Decimal)

    assert body["symbol"] == point.symbol
    assert body["provider"] == point.provider
    assert body["price"] == point.price
    assert datetime.fromisoformat(body["timestamp"]) == point.observed_at
    assert datetime.fromisoformat(body["fetched_at"]) == point.fetched_at
    assert body["raw_response_id"] == str(point.raw_response_id)
    assert body["currency"] == point.currency
    assert body["market_state"] == point.market_state
    assert body["delayed_by"] == point.delayed_by_seconds


@given(strategies.price_points, strategies.price_points)
def test_renderings_compare_as_plain_bytes_by_what_is_newer(one: PricePoint, other: PricePoint) -> None:
    prefixes = latest.rank_prefix(latest.render(one)), latest.rank_prefix(latest.render(other))

    assert (prefixes[0] < prefixes[1]) == (order(one) < order(other))
    assert (prefixes[0] == prefixes[1]) == (order(one) == order(other))


@pytest.mark.parametrize("year", [1, 999, 1000, 9999])
@pytest.mark.parametrize("microsecond", [0, 1, 120_000])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-1)), ZoneInfo("UTC")])
def test_the_times_of_a_rendering_have_one_width(year: int, microsecond: int, zone: tzinfo) -> None:
    time = datetime(year, 2, 3, 4, 5, 6, microsecond, tzinfo=zone)
    rendered = latest.render(a_price(observed_at=time, fetched_at=time, raw_response_id=UUID(int=7)))

    told = latest.format_time(time).encode()
    assert latest.rank_prefix(rendered).startswith(b'{"timestamp":"%s","fetched_at":"%s",' % (told, told))
    assert latest.read(rendered).rendered == rendered


def test_no_points_have_no_renderings() -> None:
    assert latest.render_all([]) == []


@pytest.mark.parametrize("year", [1, 999, 1000, 9999])
def test_a_time_has_27_characters_in_every_year(year: int) -> None:
    assert latest.format_time(datetime(year, 2, 3, tzinfo=UTC)) == f"{year:04}-02-03T00:00:00.000000Z"


@given(strategies.price_points)
def test_a_price_is_a_plain_number_without_exponent_or_idle_zeros(point: PricePoint) -> None:
    number = latest.render(point).split(b'"price":')[1].split(b",")[0].decode()

    assert "e" not in number.lower()
    assert number == "0" or "." not in number or not number.endswith("0")
    assert number != "-0"


def test_age_is_told_since_the_provider_s_time_and_staleness_since_ours() -> None:
    point = a_price(observed_at=NOON, fetched_at=NOON + timedelta(seconds=100), interval_seconds=60)
    rendered = latest.render(point)

    fresh = json.loads(latest.splice(rendered, NOON + timedelta(seconds=290)))
    stale = json.loads(latest.splice(rendered, NOON + timedelta(seconds=290, milliseconds=1)))

    assert (fresh["age_seconds"], fresh["stale"]) == (290.0, False)
    assert (stale["age_seconds"], stale["stale"]) == (290.001, True)
    assert fresh["stale_after_seconds"] == 190


def test_a_provider_s_clock_ahead_of_ours_makes_no_negative_age() -> None:
    rendered = latest.render(a_price(observed_at=NOON))

    assert json.loads(latest.splice(rendered, NOON - timedelta(hours=1)))["age_seconds"] == 0


@given(strategies.price_points, strategies.instants)
def test_splicing_adds_two_fields_and_touches_nothing_else(point: PricePoint, now: datetime) -> None:
    rendered = latest.render(point)

    spliced = json.loads(latest.splice(rendered, now), parse_float=str, parse_int=str)

    assert {"age_seconds", "stale"} < spliced.keys()
    del spliced["age_seconds"], spliced["stale"]
    assert spliced == json.loads(rendered, parse_float=str, parse_int=str)


@pytest.mark.parametrize("bytes_", [b"", b"{}", b'{"symbol":"AAPL"}', b'{"timestamp":"2026', b"\x00" * 200])
def test_bytes_that_are_no_rendering_are_refused(bytes_: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever part of it is missing
        latest.read(bytes_)


def test_times_have_one_width_in_every_zone() -> None:
    elsewhere = datetime.fromisoformat("2026-03-02T13:00:00+01:00")

    assert latest.format_time(elsewhere) == "2026-03-02T12:00:00.000000Z"
    assert latest.format_time(elsewhere.astimezone(UTC)) == latest.format_time(elsewhere)
