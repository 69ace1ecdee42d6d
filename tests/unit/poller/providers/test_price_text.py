"""Prices that come as text: plain numbers to the last digit, and nothing else that Decimal would take."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.price import MAX_DECIMALS, MAX_DIGITS
from marketdata.errors import InvalidInput
from marketdata_poller.providers.price_text import read_price
from support import strategies

NO_NUMBERS = ["", ".", "e5", "1_0", "1,000", " 1", "1\n", "1e", "0x1", "NaN", "-Infinity", "٢٣١", "\uff11"]
NO_PRICES = ["1e1000000", "1e99999999999999999999", "9" * 5000, "1e-13"]
NO_TEXTS = [None, 231.5, 7, True, Decimal(1), ["1"]]


@given(strategies.prices)
def test_a_price_is_read_to_the_last_digit(price: Decimal) -> None:
    assert read_price(f"{price:f}") == price
    assert read_price(str(price)) == price


@pytest.mark.parametrize("text", ["231.5000", "-37.63", "+1", "5.", ".5", "007.0", "1e3", "12.5E-3"])
def test_what_providers_write_is_read(text: str) -> None:
    assert read_price(text) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    [*NO_NUMBERS, *NO_PRICES, *NO_TEXTS],
    ids=lambda text: repr(text)[:14],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        read_price(text)


@given(st.text(max_size=20) | st.from_regex(r"[-+.eE_0-9٠-٩]{1,20}", fullmatch=True))
def test_no_text_breaks_it_or_becomes_what_cannot_be_stored(text: str) -> None:
    try:
        price = read_price(text)
    except InvalidInput:
        return

    assert text.isascii()
    assert price.adjusted() < MAX_DIGITS
    assert price.quantize(Decimal(1).scaleb(-MAX_DECIMALS)) == price
