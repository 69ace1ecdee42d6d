"""What a symbol and a provider's name may look like, said once.

The CRD, the REST schema and the wire contract are generated from the patterns here.
A symbol is normalised once, at the edge, and is upper-case from then on.
"""

import re

from marketdata.errors import InvalidInput

SYMBOL_PATTERN = r"^[A-Z0-9^][A-Z0-9.=^-]*$"
SYMBOL_MAX_LENGTH = 32
PROVIDER_PATTERN = r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
PROVIDER_MAX_LENGTH = 63
ANY_PROVIDER = "any"  # the cache's word for "whichever provider is newest"; no provider may take it
MAX_SYMBOLS = 500

_symbol = re.compile(SYMBOL_PATTERN)
_provider = re.compile(PROVIDER_PATTERN)


def parse_symbol(text: str, *, field: str = "symbol") -> str:
    """Return the canonical, upper-case symbol, e.g. `aapl` → `AAPL`.

    Raises InvalidInput naming `field` for anything outside the grammar.
    """
    given = text.strip()
    symbol = given.upper()
    if not symbol:
        raise InvalidInput(f"{field} is empty; give a symbol such as AAPL", field=field)
    if len(symbol) > SYMBOL_MAX_LENGTH:
        raise InvalidInput(f"{field} is longer than {SYMBOL_MAX_LENGTH} characters", field=field)
    # Asked of what was given: ß is one letter, and two plain ones in upper case.
    if not given.isascii() or not _symbol.fullmatch(symbol):
        raise InvalidInput(
            f"{field} {text[:40]!r} is not a symbol: use letters, digits and . = ^ -, "
            "beginning with a letter, a digit or ^ (AAPL, BRK-B, ^GSPC, EURUSD=X)",
            field=field,
        )
    return symbol


def parse_provider(text: str, *, field: str = "provider") -> str:
    """Return `text` if it can name a provider.

    Raises InvalidInput naming `field`. Whether such a provider is installed is another question.
    """
    if len(text) > PROVIDER_MAX_LENGTH or not _provider.fullmatch(text):
        raise InvalidInput(
            f"{field} {text[:70]!r} is not a provider's name: use lower-case letters, digits, "
            "- and _ (yfinance, alpha_vantage, synthetic)",
            field=field,
        )
    if text == ANY_PROVIDER:
        raise InvalidInput(f"{field} may not be {ANY_PROVIDER!r}, a reserved name", field=field)
    return text
