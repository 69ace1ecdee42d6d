"""PriceEvent on the wire: the seed's five fields, and those that were added since.

    {"symbol":"AAPL","price":231.5,"timestamp":"2026-11-22T18:55:00Z","source":"yfinance",
     "raw_response_id":"0192…", "version":1,"fetched_at":"…","currency":"USD","market_state":"REGULAR",
     "delayed_by":0,"interval":60}

`source` means provider and `timestamp` means observed_at: this is the only module that knows.
Fields may be added, never removed or given another meaning; unknown fields are ignored. A reader
refuses a version above its own. Prices are JSON numbers with the provider's own digits, decoded
to Decimal without passing through binary floats.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec

from marketdata.domain.price import EARLIEST, MAX_AHEAD, PricePoint, parse_price
from marketdata.domain.symbol import parse_provider, parse_symbol
from marketdata.errors import InvalidInput, PoisonMessage

VERSION = 1

# What the tables can hold: integers there have 32 bits. The pattern is for the schema and `to_point`
# keeps it: in msgspec it costs more than all the rest of decoding, and Python's `$` lets a line end pass.
Word = Annotated[str, msgspec.Meta(max_length=32, extra_json_schema={"pattern": "^[ -~]*$"})]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class PriceEvent(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """The message as it is written; `fetched_at` may be missing in a foreign one."""

    symbol: str
    price: Decimal
    timestamp: datetime
    source: str
    raw_response_id: UUID
    version: int | None = None  # a message without one is of version 1
    fetched_at: datetime | None = None
    currency: Word | None = None
    market_state: Word | None = None
    delayed_by: Seconds | None = None
    interval: Seconds | None = None


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(PriceEvent)


def encode(point: PricePoint) -> bytes:
    """Return the message that says `point` was observed."""
    return _encoder.encode(
        PriceEvent(
            symbol=point.symbol,
            price=point.price,
            timestamp=point.observed_at,
            source=point.provider,
            raw_response_id=point.raw_response_id,
            version=VERSION,
            fetched_at=point.fetched_at,
            currency=point.currency,
            market_state=point.market_state,
            delayed_by=point.delayed_by_seconds,
            interval=point.interval_seconds,
        )
    )


def as_read(point: PricePoint) -> PricePoint:
    """Return `point` as whoever reads its message will have it.

    Raises PoisonMessage where `decode` would refuse the message or read another point, and where the
    point cannot be written at all. What is asked is `decode` itself: a rule of its own would
    sooner or later let an event leave that no consumer takes.
    """
    try:
        read = decode(encode(point))
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        # A lone surrogate is no UTF-8; another kind of value has no place in JSON.
        raise PoisonMessage(f"cannot be written: {type(error).__name__}") from None
    if read != point:
        raise PoisonMessage("would be read as another point")
    return read


def decode(value: bytes | None) -> PricePoint:
    """Return the point a message speaks of.

    Raises PoisonMessage, saying which field and why, for everything that is not a valid event of a
    known version.
    """
    if value is None:
        raise PoisonMessage("the message has no value")
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise PoisonMessage(f"wrong shape: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PoisonMessage(f"not JSON: {error}") from None
    except RecursionError:
        raise PoisonMessage("nested too deeply") from None
    return to_point(event)


def to_point(event: PriceEvent) -> PricePoint:
    """Return the point of a decoded event; raises PoisonMessage where a rule is broken."""
    if event.version is not None and not 1 <= event.version <= VERSION:
        raise PoisonMessage(f"version {event.version} is unknown; this release reads {VERSION}")
    observed_at, fetched_at = _times(event.timestamp, event.fetched_at)
    currency, market_state = event.currency, event.market_state  # see Word
    if currency is not None and not (currency.isascii() and currency.isprintable()):
        raise PoisonMessage("currency has a character that is not printable ASCII")
    if market_state is not None and not (market_state.isascii() and market_state.isprintable()):
        raise PoisonMessage("market_state has a character that is not printable ASCII")
    try:
        provider, symbol = _known[event.source, event.symbol]
    except KeyError:
        provider, symbol = _series(event.source, event.symbol)
    try:
        price = parse_price(event.price)
    except InvalidInput as error:
        raise PoisonMessage(str(error)) from None
    return PricePoint(
        provider,
        symbol,
        observed_at,
        price,
        currency,
        fetched_at,
        event.raw_response_id,
        market_state,
        event.delayed_by,
        event.interval,
    )


# The series seen, so that the grammar is checked once for each and not for each message. Emptied
# when a flood of invented names has filled it.
_known: dict[tuple[str, str], tuple[str, str]] = {}
_KNOWN_LIMIT = 100_000


def _series(source: str, symbol: str) -> tuple[str, str]:
    try:
        series = parse_provider(source, field="source"), parse_symbol(symbol)
    except InvalidInput as error:
        raise PoisonMessage(str(error)) from None
    if len(_known) >= _KNOWN_LIMIT:
        _known.clear()
    _known[source, symbol] = series
    return series


def _times(observed_at: datetime, fetched_at: datetime | None) -> tuple[datetime, datetime]:
    if observed_at.tzinfo is not UTC:
        observed_at = _utc(observed_at, "timestamp")
    if fetched_at is None:
        fetched_at = observed_at
    elif fetched_at.tzinfo is not UTC:
        fetched_at = _utc(fetched_at, "fetched_at")
    if observed_at < EARLIEST or fetched_at < EARLIEST:
        raise PoisonMessage(f"a time is before {EARLIEST.year}, as one that was never set")
    if observed_at > fetched_at and observed_at - fetched_at > MAX_AHEAD:
        # It would be the latest price until that time comes.
        raise PoisonMessage("timestamp is more than an hour after fetched_at")
    return observed_at, fetched_at


def _utc(at: datetime, field: str) -> datetime:
    if at.tzinfo is None:
        raise PoisonMessage(f"{field} needs a time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:  # 0001-01-01T00:00:00+01:00 is in the year 0
        raise PoisonMessage(f"{field} is out of range") from None


def decode_batch(values: Sequence[bytes | None]) -> list[PricePoint | PoisonMessage]:
    """Return one point or one error for each value, in order.

    Each value is parsed on its own. Parsing the whole batch as one JSON text is hardly faster, and
    a crafted value could shift every price behind it to another message's place.

    Raises nothing for what a value holds: a value that meets a defect here is poison too, which keeps its
    bytes for a replay by the release that mends it. An error would end the process at the same message again
    and again, and with it all that comes behind.
    """
    try:
        return list(map(to_point, map(_decoder.decode, values)))  # type: ignore[arg-type]  # None is poison
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - see above; found out one by one
        return [_outcome(value) for value in values]


def _outcome(value: bytes | None) -> PricePoint | PoisonMessage:
    try:
        return decode(value)
    except PoisonMessage as error:
        # Not the one that was raised: its traceback leads to frames that hold the value and this error. Only
        # the collector of cycles frees that, and a megabyte does not make it come sooner.
        return PoisonMessage(str(error))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return PoisonMessage(f"a defect in decoding: {type(error).__name__}")
