"""What Yahoo's bytes say of each symbol: pure, so that stored answers read the same years later.

An answer speaks only of symbols it names: one that a quote answer leaves out without a word is
not mentioned here, because whether it is unknown or was dropped cannot be told from these bytes.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from marketdata.domain.answer import Parsed, Quote, RawResponse
from marketdata.domain.price import MAX_AHEAD, MAX_DECIMALS, MAX_DIGITS, parse_price
from marketdata.errors import (
    BadResponse,
    InvalidInput,
    MarketDataError,
    NoData,
    UnknownSymbol,
)
from marketdata_poller.providers.answers import said, understood
from marketdata_poller.providers.yfinance.verdicts import Endpoint, endpoint_of, verdict

# Quoted in hundredths of the currency that follows. GBX, USX: other feeds' and futures' spelling.
_SUBUNITS = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS", "USX": "USD"}
_STATES = {
    "REGULAR": "REGULAR",
    "PRE": "PRE",
    "POST": "POST",
    "CLOSED": "CLOSED",
    "PREPRE": "CLOSED",
    "POSTPOST": "CLOSED",
}
_NAN = Decimal("NaN")
_FINEST = Decimal(1).scaleb(-MAX_DECIMALS)
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


def read(raw: RawResponse) -> Parsed:
    """Return what `raw` says; an answer that cannot be read fails all of its symbols alike."""
    return said(raw, lambda answer: _read(answer, endpoint_of(answer.url)))


def read_or_refuse(raw: RawResponse, endpoint: Endpoint) -> Parsed:
    """Return what `raw`, an answer of `endpoint`, says.

    Raises the error of the whole answer: a refusal, or BadResponse for an unknown shape.
    """
    return understood(raw, lambda answer: _read(answer, endpoint))


def _read(raw: RawResponse, endpoint: Endpoint) -> Parsed:
    refusal = verdict(endpoint, status=raw.status, headers=raw.headers, body=raw.body, now=raw.fetched_at)
    if refusal is not None:
        raise refusal
    if endpoint not in {Endpoint.QUOTE, Endpoint.CHART}:
        return Parsed()
    try:
        content = json.loads(raw.body, parse_float=_decimal, parse_int=_integer, parse_constant=Decimal)
        return _quotes(content, raw) if endpoint is Endpoint.QUOTE else _chart(content, raw)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError):
        raise BadResponse(f"Yahoo's {endpoint} answer does not have the known shape") from None


def _decimal(text: str) -> Decimal:
    """Return the number, NaN where Decimal cannot hold its exponent: its row fails then, and no other."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NAN


def _integer(text: str) -> int | Decimal:
    """Return the number, NaN where it has more digits than Python takes."""
    try:
        return int(text)
    except ValueError:
        return _NAN


def _quotes(content: Mapping[str, object], raw: RawResponse) -> Parsed:
    rows = content["quoteResponse"]["result"]  # type: ignore[index]
    asked = set(raw.symbols)
    quotes: dict[str, Quote] = {}
    failures: dict[str, MarketDataError] = {}
    for row in rows:
        symbol = row["symbol"]
        if symbol not in asked:
            continue
        delay = row.get("exchangeDataDelayedBy")
        try:
            quotes[symbol] = _quote(
                symbol,
                price=row.get("regularMarketPrice"),
                time=row.get("regularMarketTime"),
                currency=row.get("currency"),
                state=_STATES.get(str(row.get("marketState"))),
                delay=delay * 60 if type(delay) is int and 0 <= delay <= 10_080 else None,
                fetched_at=raw.fetched_at,
            )
        except MarketDataError as error:
            failures[symbol] = error
    return Parsed(quotes=quotes, failures=failures)


def _chart(content: Mapping[str, object], raw: RawResponse) -> Parsed:
    (symbol,) = raw.symbols
    chart = content["chart"]
    if not chart["result"]:  # type: ignore[index]
        if chart["error"]["code"] == "Not Found":  # type: ignore[index]
            return Parsed(failures={symbol: UnknownSymbol(f"Yahoo does not know {symbol}")})
        return Parsed(failures={symbol: NoData(f"Yahoo has no chart of {symbol}")})
    meta = chart["result"][0]["meta"]  # type: ignore[index]
    try:
        quote = _quote(
            symbol,
            price=meta.get("regularMarketPrice"),
            time=meta.get("regularMarketTime"),
            currency=meta.get("currency"),
            state=_state_at(meta.get("currentTradingPeriod") or {}, raw.fetched_at),
            delay=None,
            fetched_at=raw.fetched_at,
        )
    except MarketDataError as error:
        return Parsed(failures={symbol: error})
    return Parsed(quotes={symbol: quote})


def _quote(
    symbol: str,
    *,
    price: object,
    time: object,
    currency: object,
    state: str | None,
    delay: int | None,
    fetched_at: datetime,
) -> Quote:
    """Return the quote; raises NoData where there is no price, BadResponse where it makes no sense."""
    if price is None or time is None:
        raise NoData(f"Yahoo has no price for {symbol}")
    if currency is not None and not isinstance(currency, str):
        # It may have been pence: a price of which the unit cannot be read is off by a hundred or not.
        raise BadResponse(f"Yahoo's currency of {symbol} is not a text")
    unit = currency or None
    return Quote(
        symbol=symbol,
        price=_exact(symbol, price, hundredths=unit in _SUBUNITS),
        observed_at=_instant(symbol, time, fetched_at),
        currency=_SUBUNITS.get(unit, unit) if unit else None,
        market_state=state,
        delayed_by_seconds=delay,
    )


def _exact(symbol: str, price: object, *, hundredths: bool) -> Decimal:
    """Return the number as written, a hundredth of it for subunits, to the 12 decimals we keep.

    Yahoo's floats carry noise far behind the point (228.02000427246094), which no price has.
    """
    if type(price) is int:
        price = Decimal(price)
    if not isinstance(price, Decimal) or not price.is_finite() or price.adjusted() > 15:
        raise BadResponse(f"Yahoo's price of {symbol} is not a number")
    exact = price.scaleb(-2) if hundredths else price
    if exact.adjusted() >= MAX_DIGITS:  # with MAX_DECIMALS more, rounding would pass decimal's 28 digits
        raise BadResponse(f"Yahoo's price of {symbol} has more than {MAX_DIGITS} digits before the point")
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MAX_DECIMALS:
        exact = exact.quantize(_FINEST)
    try:
        return parse_price(exact)
    except InvalidInput as error:
        raise BadResponse(f"Yahoo's price of {symbol} cannot be stored: {error}") from None


def _instant(symbol: str, time: object, fetched_at: datetime) -> datetime:
    if type(time) is not int or not 0 <= time < 1 << 40:
        raise BadResponse(f"Yahoo's time of {symbol} is not in Unix seconds")
    try:
        instant = datetime.fromtimestamp(time, UTC)
    except (OverflowError, ValueError, OSError):
        raise BadResponse(f"Yahoo's time of {symbol} is out of range") from None
    if not _EARLIEST <= instant <= fetched_at + MAX_AHEAD:
        raise BadResponse(f"Yahoo's time of {symbol} is not a time of a price")
    return instant


def _state_at(periods: Mapping[str, Mapping[str, int]], at: datetime) -> str | None:
    """Return the market's state by the chart's trading periods, None where it gives none."""
    second = int(at.timestamp())
    for name, state in (("regular", "REGULAR"), ("pre", "PRE"), ("post", "POST")):
        period = periods.get(name)
        if period and period["start"] <= second < period["end"]:
            return state
    return "CLOSED" if periods else None
