"""A price that a provider wrote as text, read digit for digit.

Decimal alone takes more than providers write: `1_0` for 10, any alphabet's digits, blanks, NaN. What
is no plain number is refused, as nobody knows what its sender meant.
"""

import re
from decimal import Decimal

from marketdata.domain.price import parse_price
from marketdata.errors import InvalidInput

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def read_price(text: object) -> Decimal:
    """Return the price that `text` says, exactly.

    Raises InvalidInput for what is not a text, not a plain decimal number in ASCII, or not a price
    that can be stored. A JSON number is no text: it has been through binary floats.
    """
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise InvalidInput("price is not a decimal number in text", field="price")
    try:
        return parse_price(Decimal(text))
    except ArithmeticError:  # an exponent that Decimal cannot hold
        raise InvalidInput("price is out of range", field="price") from None
