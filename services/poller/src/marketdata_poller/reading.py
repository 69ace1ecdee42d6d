"""From a provider's answer to events and failures, trusting nothing in it.

Pure but for the random bits of ids. A quote that breaks a rule is a BadResponse of its symbol and
harms no other; a symbol that the provider forgot is one too. Which words, numbers and times an event
may have is the wire contract's to say (`price_event.as_read`), so what leaves here is taken by every
consumer. An odd currency or market state is not left out instead: a price whose unit nobody can read
may be off by a hundred, and an answer that is odd in one place is not to be believed in the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from marketdata.domain.answer import Answer, Quote, RawResponse
from marketdata.domain.poll import SymbolOutcome, outcome_of
from marketdata.domain.price import MAX_AHEAD, PricePoint, parse_price
from marketdata.domain.publication import Observation
from marketdata.errors import BadResponse, InvalidInput, MarketDataError, PoisonMessage
from marketdata.identifiers import uuid7
from marketdata.messages import price_event


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
        try:
            quote, raw = _quoted(answer, symbol, raws)
            point = _point(quote, raw, provider=provider, symbol=symbol, interval=intervals.get(symbol))
        except MarketDataError as error:
            missed[symbol] = outcome_of(error, asked_at)
        else:
            observations.append(Observation(uuid7(point.fetched_at), point, traceparent))
    return Reading(tuple(observations), missed)


def _quoted(answer: Answer, symbol: str, raws: Mapping[UUID, RawResponse]) -> tuple[Quote, RawResponse]:
    """Return the quote of `symbol` and what it was read from; raises why there is none."""
    match answer.quotes.get(symbol):
        case None:
            failure: object = answer.failures.get(symbol)
            if isinstance(failure, MarketDataError):
                raise failure
            raise BadResponse("the provider gave no outcome")
        case (Quote() as quote, UUID() as raw_response_id):
            raw = raws.get(raw_response_id)
            if raw is None:
                raise BadResponse("the price has no raw answer")
            return quote, raw
        case _:
            raise BadResponse("the provider gave something other than a quote")


def _point(quote: Quote, raw: RawResponse, *, provider: str, symbol: str, interval: int | None) -> PricePoint:
    price, observed_at = _price(quote.price), _instant(quote.observed_at)
    if observed_at > raw.fetched_at and observed_at - raw.fetched_at > MAX_AHEAD:
        raise BadResponse(f"the price is of {observed_at.isoformat()}, which is yet to come")
    point = PricePoint(
        provider=provider,
        symbol=symbol,
        observed_at=observed_at,
        price=price,
        currency=quote.currency,
        fetched_at=raw.fetched_at,
        raw_response_id=raw.raw_response_id,
        market_state=quote.market_state,
        delayed_by_seconds=quote.delayed_by_seconds,
        interval_seconds=interval,
    )
    try:
        return price_event.as_read(point)
    except PoisonMessage as error:
        raise BadResponse(f"no consumer would take its event: {error}") from None


def _price(price: object) -> Decimal:
    if not isinstance(price, Decimal):
        # A float would be written with digits that nobody sent.
        raise BadResponse(f"the price is a {type(price).__name__}, not a Decimal")
    try:
        return parse_price(price)
    except InvalidInput as error:
        raise BadResponse(f"the price cannot be stored: {error}") from None


def _instant(at: object) -> datetime:
    if not isinstance(at, datetime):
        raise BadResponse(f"the price's time is a {type(at).__name__}, not a datetime")
    if at.utcoffset() is None:
        raise BadResponse("the price has no time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise BadResponse("the price's time is out of range") from None
