"""The body of GET /prices/latest: one rendering for the cache, the store and the API.

The bytes begin with three fields of fixed width, so that two renderings of one series compare by
rank as plain byte strings (`rank_prefix`): the cache's newer-only write needs no JSON parser.
`age_seconds` and `stale` move all the time and are spliced in when the answer is sent (`splice`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import msgspec

from marketdata.columns import texts
from marketdata.domain.price import PricePoint
from marketdata.domain.staleness import stale_after_seconds

_json = msgspec.json.Encoder()


def format_time(at: datetime) -> str:
    """Return RFC 3339 in UTC with exactly six decimals: 27 characters that sort as the times do."""
    # Not strftime: its %Y has fewer than four digits before the year 1000.
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:26] + "Z"


# {"timestamp":"<27>","fetched_at":"<27>","raw_response_id":"<36>"
_TIME_LENGTH = len("2026-01-05T14:30:00.000000Z")
_WHOLE_SECOND_LENGTH = len("2026-01-05T14:30:00Z")
_TIMESTAMP_AT = len('{"timestamp":"')
_FETCHED_AT = _TIMESTAMP_AT + _TIME_LENGTH + len('","fetched_at":"')
RANK_LENGTH = _FETCHED_AT + _TIME_LENGTH + len('","raw_response_id":"') + 36


def render(point: PricePoint) -> bytes:
    """Return the body without age and staleness: what the cache holds, a JSON object."""
    return render_all([point])[0]


def render_all(points: Sequence[PricePoint]) -> list[bytes]:
    """Return the rendering of each: a consumer renders every series it touches, in every batch."""
    return [
        (
            f'{{"timestamp":"{_fixed(observed_at, p.observed_at)}"'
            f',"fetched_at":"{_fixed(fetched_at, p.fetched_at)}"'
            f',"raw_response_id":"{answer}"'
            f',"symbol":"{p.symbol}","provider":"{p.provider}","price":{_number(p.price)}'
            f"{_tail(p.currency, p.market_state, p.delayed_by_seconds, p.interval_seconds)}"
        ).encode()
        for p, observed_at, fetched_at, answer in zip(
            points,
            texts([p.observed_at for p in points]),
            texts([p.fetched_at for p in points]),
            texts([p.raw_response_id for p in points]),
            strict=True,
        )
    ]


def _fixed(text: str, at: datetime) -> str:
    """Return what `format_time(at)` does, from the text of `columns.texts`, which leaves six zeros out."""
    if len(text) == _TIME_LENGTH:
        return text
    return text[:-1] + ".000000Z" if len(text) == _WHOLE_SECOND_LENGTH else format_time(at)


# Few combinations.
@lru_cache(maxsize=4096)
def _tail(
    currency: str | None, market_state: str | None, delayed_by: int | None, interval: int | None
) -> str:
    fields: dict[str, str | int | None] = {
        "currency": currency,
        "market_state": market_state,
        "delayed_by": delayed_by,
        "stale_after_seconds": stale_after_seconds(interval),
    }
    return "," + _json.encode(fields).decode()[1:]


def _number(price: Decimal) -> str:
    """Return the digits of `plain(price)`, without its arithmetic."""
    text = f"{price:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def plain(price: Decimal) -> Decimal:
    """Return `price` with its idle zeros off, and no minus before a zero: 231.50 → 231.5, 1E+3 → 1000."""
    normal = price.normalize() + 0
    return normal.quantize(Decimal(1)) if normal == normal.to_integral_value() else normal


def rank_prefix(rendered: bytes) -> bytes:
    """Return the part of a rendering that orders it among renderings of its series."""
    return rendered[:RANK_LENGTH]


@dataclass(frozen=True, slots=True)
class Body:
    """A rendering whose times were read once, to be sent many times; they are Unix seconds."""

    rendered: bytes
    observed_at: float
    fetched_at: float
    stale_after_seconds: int

    def is_stale(self, now: float) -> bool:
        """Tell whether no poll has confirmed the price for longer than it may go unconfirmed."""
        return now - self.fetched_at > self.stale_after_seconds

    def at(self, now: float) -> bytes:
        """Return the full answer as of `now`: `age_seconds` since observed_at and `stale` added."""
        age = max(0.0, now - self.observed_at)
        stale = b"true" if self.is_stale(now) else b"false"
        return b'%s,"age_seconds":%.3f,"stale":%s}' % (self.rendered[:-1], age, stale)


def read(rendered: bytes) -> Body:
    """Return what `splice` needs of a rendering; raises ValueError for bytes that are none."""
    if not rendered.startswith(b'{"timestamp":"') or not rendered.endswith(b"}"):
        raise ValueError("not a rendering of a latest price")
    return Body(
        rendered=rendered,
        observed_at=_seconds(rendered[_TIMESTAMP_AT : _TIMESTAMP_AT + _TIME_LENGTH]),
        fetched_at=_seconds(rendered[_FETCHED_AT : _FETCHED_AT + _TIME_LENGTH]),
        stale_after_seconds=int(rendered[rendered.rindex(b":") + 1 : -1]),
    )


def _seconds(time: bytes) -> float:
    at = datetime.fromisoformat(time.decode())
    if at.tzinfo is None:
        raise ValueError("not a rendering of a latest price: a time has no zone")
    return at.timestamp()


def splice(rendered: bytes, now: datetime) -> bytes:
    """Return the full answer: `age_seconds` since observed_at and `stale` as of `now` added."""
    return read(rendered).at(now.timestamp())
