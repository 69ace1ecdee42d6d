"""The bodies that Yahoo Finance answers with, as pure functions.

The shapes are those that yfinance 1.7 reads: field names, nesting, the texts of errors and the
codes beside them. Prices go out as JSON numbers, equal to those of the series to the last digit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from marketdata_tools.standins.series import Listing

_DAY = 86_400
_ZONES = {"LSE": "Europe/London", "JNB": "Africa/Johannesburg", "TLV": "Asia/Jerusalem"}
CONSENT_PAGE = (
    b"<html><body>"
    b'<form action="https://consent.yahoo.com/v2/collectConsent?sessionId=stand-in" method="post">'
    b'<input type="hidden" name="csrfToken" value="stand-in"/>'
    b'<input type="hidden" name="sessionId" value="stand-in"/>'
    b'<button name="agree" value="agree">Accept all</button></form></body></html>'
)
SORRY_PAGE = (
    b"<!doctype html><html><head><title>Yahoo</title></head>"
    b"<body><h1>Will be right back...</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says of one symbol; a price of None is left out, NaN is written as NaN."""

    listing: Listing
    price: Decimal | None
    observed_at: int
    market_state: str = "REGULAR"


def quote_body(told: Sequence[Told]) -> bytes:
    """Return the body of v7/finance/quote."""
    return _render({"quoteResponse": {"result": [_quote(one) for one in told], "error": None}})


def chart_body(told: Told) -> bytes:
    """Return the body of v8/finance/chart/{symbol} for one day of bars, here its last one."""
    listing, price = told.listing, told.price
    day = told.observed_at - told.observed_at % _DAY
    period = {"timezone": "UTC", "start": day, "end": day + _DAY, "gmtoffset": 0}
    meta: dict[str, object] = {
        "currency": listing.currency,
        "symbol": listing.symbol,
        "exchangeName": listing.exchange,
        "fullExchangeName": listing.exchange,
        "instrumentType": listing.kind,
        "firstTradeDate": 345_479_400,
        "regularMarketTime": told.observed_at,
        "hasPrePostMarketData": True,
        "gmtoffset": 0,
        "timezone": "UTC",
        "exchangeTimezoneName": _ZONES.get(listing.exchange, "America/New_York"),
        "longName": listing.name,
        "shortName": listing.name,
        "priceHint": 2,
        "currentTradingPeriod": {
            "pre": period | {"end": day},
            "regular": period if told.market_state == "REGULAR" else period | {"end": day},
            "post": period | {"start": day + _DAY},
        },
        "tradingPeriods": [[period]],
        "dataGranularity": "1m",
        "range": "1d",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }
    if price is not None:
        meta["regularMarketPrice"] = float(price)
    shown = [] if price is None else [float(price)]
    result = {
        "meta": meta,
        "timestamp": [told.observed_at for _ in shown],
        "indicators": {
            "quote": [
                {"open": shown, "high": shown, "low": shown, "close": shown, "volume": [0 for _ in shown]}
            ]
        },
    }
    return _render({"chart": {"result": [result], "error": None}})


def chart_unknown() -> bytes:
    """Return what chart says, with status 404, of a symbol that does not exist."""
    return _error("chart", "Not Found", "No data found, symbol may be delisted")


def unauthorized() -> bytes:
    """Return what comes with status 401 for a missing or wrong crumb."""
    return _error("finance", "Unauthorized", "Invalid Crumb")


def bad_request(why: str) -> bytes:
    """Return what comes with status 400."""
    return _error("finance", "Bad Request", why)


def summary_body(symbol: str, listing: Listing | None) -> bytes:
    """Return the body of v10/finance/quoteSummary/{symbol}, known or not."""
    if listing is None:
        return _error("quoteSummary", "Not Found", f"Quote not found for symbol: {symbol}")
    known = {
        "symbol": symbol,
        "quoteType": listing.kind,
        "shortName": listing.name,
        "exchange": listing.exchange,
    }
    return _render({"quoteSummary": {"result": [{"quoteType": known}], "error": None}})


def timeseries_body(symbol: str) -> bytes:
    """Return the body of ws/fundamentals-timeseries: no series at all."""
    series = {"meta": {"symbol": [symbol], "type": ["trailingPegRatio"]}}
    return _render({"timeseries": {"result": [series], "error": None}})


def _quote(told: Told) -> Mapping[str, object]:
    listing = told.listing
    row: dict[str, object] = {
        "language": "en-US",
        "region": "US",
        "quoteType": listing.kind,
        "quoteSourceName": "Delayed Quote",
        "triggerable": True,
        "currency": listing.currency,
        "marketState": told.market_state,
        "exchange": listing.exchange,
        "fullExchangeName": listing.exchange,
        "exchangeTimezoneName": _ZONES.get(listing.exchange, "America/New_York"),
        "exchangeDataDelayedBy": 0 if listing.exchange in {"NMS", "SNP"} else 15,
        "sourceInterval": 15,
        "shortName": listing.name,
        "longName": listing.name,
        "priceHint": 2,
        "tradeable": False,
        "symbol": listing.symbol,
    }
    if told.price is not None:
        row |= {"regularMarketPrice": float(told.price), "regularMarketTime": told.observed_at}
    return row


def _error(envelope: str, code: str, description: str) -> bytes:
    return _render({envelope: {"result": None, "error": {"code": code, "description": description}}})


def _render(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
