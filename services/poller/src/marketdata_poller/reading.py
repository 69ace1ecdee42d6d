"""From a provider's answer to events and failures, trusting nothing in it.

Pure but for the random bits of ids. A quote that breaks a rule is a BadResponse of its symbol and
harms no other; a symbol that the provider forgot is one too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from marketdata.domain.answer import Answer, Quote, RawResponse
from marketdata.domain.poll import SymbolOutcome, outcome_of
from marketdata.domain.price import MAX_AHEAD, PricePoint, parse_price
from marketdata.domain.publication import Observation
from marketdata.errors import BadResponse, InvalidInput, MarketDataError
from marketdata.identifiers import uuid7


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer comes to: events to be, and the outcome of every other symbol asked."""

    observations: tuple[Observation, ...]
    missed: Mapping[str, SymbolOutcome]


def read(
    answer: Answer,
    *,
    provider: str,
    symbols: Sequence[str],
    asked_at: datetime,
    intervals: Mapping[str, int],
    traceparent: str | None = None,
) -> Reading:
    """Return the reading of `answer` to a request for `symbols` that began at `asked_at`.

    Its events carry `traceparent`.
    """
    raws = {raw.raw_response_id: raw for raw in answer.raws}
    observations: list[Observation] = []
    missed: dict[str, SymbolOutcome] = {}
    for symbol in symbols:
        quoted = answer.quotes.get(symbol)
        try:
            if quoted is None:
                raise answer.failures.get(symbol) or BadResponse("the provider gave no outcome")
            quote, raw_response_id = quoted
            raw = raws.get(raw_response_id)
            if raw is None:
                raise BadResponse("the price has no raw answer")
            point = _point(quote, raw, provider=provider, symbol=symbol, interval=intervals.get(symbol))
        except MarketDataError as error:
            missed[symbol] = outcome_of(error, asked_at)
        else:
            observations.append(Observation(uuid7(point.fetched_at), point, traceparent))
    return Reading(tuple(observations), missed)


def _point(quote: Quote, raw: RawResponse, *, provider: str, symbol: str, interval: int | None) -> PricePoint:
    if quote.observed_at.tzinfo is None:
        raise BadResponse("the price has no time zone")
    if quote.observed_at > raw.fetched_at + MAX_AHEAD:
        raise BadResponse(f"the price is of {quote.observed_at.isoformat()}, which is yet to come")
    try:
        price = parse_price(quote.price)
    except InvalidInput as error:
        raise BadResponse(str(error)) from None
    return PricePoint(
        provider=provider,
        symbol=symbol,
        observed_at=quote.observed_at,
        price=price,
        currency=quote.currency,
        fetched_at=raw.fetched_at,
        raw_response_id=raw.raw_response_id,
        market_state=quote.market_state,
        delayed_by_seconds=quote.delayed_by_seconds,
        interval_seconds=interval,
    )
