from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given

from marketdata.domain.price import parse_price
from marketdata.errors import InvalidInput
from support import strategies
from support.builders import NOON, a_price


@given(strategies.prices)
def test_a_price_that_fits_the_column_is_kept_to_the_digit(price: Decimal) -> None:
    assert parse_price(price).as_tuple() == price.as_tuple()


@pytest.mark.parametrize("text", ["-37.63", "0", "999999999999999.999999999999", "1E+3", "1E-12"])
def test_unusual_prices_are_prices(text: str) -> None:
    assert parse_price(Decimal(text)) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    ["NaN", "sNaN", "Infinity", "-Infinity", "1E+15", "-1E15", "0.0000000000001", "0E+99999", "1E+400"],
)
def test_what_cannot_be_stored_exactly_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_price(Decimal(text))

    assert caught.value.field == "price"


def test_of_two_answers_the_later_fetched_ranks_higher_whatever_their_ids() -> None:
    first = a_price(fetched_at=NOON)
    second = a_price(fetched_at=NOON + timedelta(microseconds=1), raw_response_id=first.raw_response_id)

    assert second.rank > first.rank
