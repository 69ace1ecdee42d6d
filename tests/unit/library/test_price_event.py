import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.price import PricePoint
from marketdata.errors import PoisonMessage
from marketdata.messages import price_event, topics
from support import strategies
from support.builders import NOON, a_price

SEED = {
    "symbol": "AAPL",
    "price": 231.5,
    "timestamp": "2026-03-02T12:00:00Z",
    "source": "yfinance",
    "raw_response_id": "0195567f-2a00-7000-8000-000000000000",
}


def message(**changes: object) -> bytes:
    fields = {name: value for name, value in (SEED | changes).items() if value is not ...}
    return json.dumps(fields).encode()


@given(strategies.price_points)
def test_a_point_comes_back_from_the_wire_to_the_digit(point: PricePoint) -> None:
    decoded = price_event.decode(price_event.encode(point))

    assert decoded == point
    assert decoded.price.as_tuple() == point.price.as_tuple() or point.price.as_tuple().exponent != 0


def test_a_message_keeps_the_seed_s_five_fields() -> None:
    body = json.loads(price_event.encode(a_price(provider="yfinance", price="231.5")))

    assert body["symbol"] == "AAPL"
    assert body["price"] == 231.5
    assert body["timestamp"] == "2026-03-02T12:00:00Z"
    assert body["source"] == "yfinance"
    assert "raw_response_id" in body
    assert body["version"] == 1


def test_a_price_is_a_json_number_with_the_provider_s_own_digits() -> None:
    assert b'"price":231.10' in price_event.encode(a_price(price="231.10"))


def test_the_seed_s_own_message_is_understood() -> None:
    point = price_event.decode(message())

    assert point.price == Decimal("231.5")
    assert point.provider == "yfinance"
    assert point.observed_at == point.fetched_at == NOON


def test_a_price_never_passes_through_a_binary_float() -> None:
    value = message().replace(b"231.5", b"0.1000000000000000055")

    with pytest.raises(PoisonMessage, match="12 after the point"):
        price_event.decode(value)


def test_fields_of_a_later_release_are_ignored() -> None:
    assert price_event.decode(message(bid=231.4)) == price_event.decode(message())


def test_times_of_other_zones_mean_the_same_instant() -> None:
    assert price_event.decode(message(timestamp="2026-03-02T13:00:00+01:00")).observed_at == NOON


POISON: dict[str, bytes | None] = {
    "no value": None,
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "not JSON": b"not json",
    "an array": b"[]",
    "null": b"null",
    "nested without end": b"[" * 100_000,
    "cut off": message()[:-1],
    "no price": message(price=...),
    "no symbol": message(symbol=...),
    "no raw response": message(raw_response_id=...),
    "price null": message(price=None),
    "price true": message(price=True),
    "price the word NaN": message(price="NaN"),
    "price NaN": message().replace(b"231.5", b"NaN"),
    "price over the column": message().replace(b"231.5", b"1e400"),
    "price beyond decimal's arithmetic": message().replace(b"231.5", b"1e1000000"),
    "price beyond it, below zero": message().replace(b"231.5", b"-1e1000000"),
    "price beyond it, quoted": message(price="1e1000000"),
    "price a NaN of many digits": message(price="NaN" + "1" * 100_000),
    "price a huge zero": message().replace(b"231.5", b"0e99999"),
    "symbol a number": message(symbol=5),
    "symbol empty": message(symbol=""),
    "symbol too long": message(symbol="A" * 33),
    "source reserved": message(source="any"),
    "source outside the grammar": message(source="Yahoo"),
    "timestamp no time": message(timestamp="yesterday"),
    "timestamp without zone": message(timestamp="2026-03-02T12:00:00"),
    "timestamp in the year 0": message(timestamp="0001-01-01T00:00:00+01:00"),
    "timestamp never set": message(timestamp="0001-01-01T00:00:00Z"),
    "fetched_at never set": message(timestamp="0001-01-01T00:00:00Z", fetched_at="0001-01-01T00:00:00Z"),
    "fetched_at without zone": message(fetched_at="2026-03-02T12:00:00"),
    "timestamp far ahead": message(timestamp="9999-01-01T00:00:00Z", fetched_at="2026-03-02T12:00:00Z"),
    "raw response no uuid": message(raw_response_id="7"),
    "version 0": message(version=0),
    "version 2": message(version=2),
    "currency with NUL": message(currency="U\x00D"),
    "currency with a line end": message(currency="USD\n"),
    "market state with a tab": message(market_state="REGULAR\t"),
    "market state with a letter outside ASCII": message(market_state="RÉGULAR"),
    "currency too long": message(currency="U" * 33),
    "delay negative": message(delayed_by=-1),
    "delay over 32 bits": message(delayed_by=2**31),
    "interval a word": message(interval="60"),
    "a megabyte": b'"' + b"x" * 1_000_000 + b'"',
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
def test_what_can_never_become_a_point_is_poison(value: bytes | None) -> None:
    with pytest.raises(PoisonMessage) as caught:
        price_event.decode(value)

    assert len(str(caught.value)) < 500


@given(st.binary(max_size=200))
def test_no_bytes_at_all_end_in_any_other_error(value: bytes) -> None:
    (decoded,) = price_event.decode_batch([value])

    assert isinstance(decoded, PoisonMessage)


_NUMBER = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,20})?", fullmatch=True)


@given(_NUMBER | _NUMBER.map('"{}"'.format))
def test_no_number_at_all_ends_in_any_other_error(number: str) -> None:
    (decoded,) = price_event.decode_batch([message().replace(b"231.5", number.encode())])

    if isinstance(decoded, PricePoint):
        assert decoded.price.adjusted() < 15


def test_a_value_that_meets_a_defect_is_poison_and_those_around_it_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(event: price_event.PriceEvent) -> PricePoint:
        if event.symbol == "MSFT":
            raise ZeroDivisionError("what nobody thought of")
        return to_point(event)

    to_point = price_event.to_point
    monkeypatch.setattr(price_event, "to_point", stumble)

    before, met, after = price_event.decode_batch([message(), message(symbol="MSFT"), message()])

    assert isinstance(before, PricePoint)
    assert isinstance(after, PricePoint)
    assert isinstance(met, PoisonMessage)
    assert "ZeroDivisionError" in str(met)


@given(st.text(max_size=8) | st.sampled_from(["USD\n", "USD\r", "\tUSD", "\\N"]))
def test_a_word_that_is_taken_is_printable_ascii_throughout(word: str) -> None:
    (decoded,) = price_event.decode_batch([message(currency=word, market_state=word)])

    if all(" " <= letter <= "~" for letter in word):
        assert isinstance(decoded, PricePoint)
        assert decoded.currency == decoded.market_state == word
    else:
        assert isinstance(decoded, PoisonMessage)


@given(strategies.price_points)
def test_a_point_that_can_be_told_is_what_its_reader_will_have(point: PricePoint) -> None:
    assert price_event.as_read(point) == point


@pytest.mark.parametrize(
    "fields",
    [
        {"currency": "\ud800"},
        {"currency": "U\0D"},
        {"currency": "U" * 33},
        {"currency": b"USD"},
        {"currency": object()},
        {"market_state": "RÉGULAR"},
        {"delayed_by_seconds": -1},
        {"delayed_by_seconds": 2**31},
        {"interval_seconds": 10**30},
        {"observed_at": NOON.replace(tzinfo=None)},
        {"observed_at": NOON.replace(tzinfo=timezone(timedelta(seconds=17)))},
        {"provider": "any"},
        {"symbol": "aapl"},
        {"price": Decimal("NaN")},
    ],
)
def test_a_point_whose_message_would_be_refused_or_read_as_another_is_poison(fields: dict[str, Any]) -> None:
    with pytest.raises(PoisonMessage):
        price_event.as_read(msgspec.structs.replace(a_price(), **fields))


@given(st.lists(st.one_of(st.none(), st.binary(max_size=50), strategies.price_points), max_size=20))
def test_a_batch_is_decoded_value_by_value_in_order(items: list[bytes | PricePoint | None]) -> None:
    values = [price_event.encode(item) if isinstance(item, PricePoint) else item for item in items]

    decoded = price_event.decode_batch(values)

    assert len(decoded) == len(items)
    for item, outcome in zip(items, decoded, strict=True):
        if isinstance(item, PricePoint):
            assert outcome == item
        else:
            assert isinstance(outcome, PoisonMessage)


def test_a_key_keeps_one_series_together() -> None:
    assert topics.event_key("yfinance", "BRK-B") == b"yfinance:BRK-B"


def test_an_event_without_fetched_at_ranks_as_if_fetched_when_observed() -> None:
    point = price_event.decode(message(timestamp="2026-03-02T12:00:00.000001Z"))

    assert point.fetched_at == datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=UTC)
