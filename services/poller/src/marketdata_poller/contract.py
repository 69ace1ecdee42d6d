"""What an answer must be for the poller to take it up at all.

Providers are plug-ins, and types bind nobody at run time: an answer of another shape would break the
turn that reads or stores it, again at each tick, and with it what other jobs of the provider wait for.
Pure. Looks at the answer as a whole and at what is to be stored; quotes and failures are judged
symbol by symbol, in `reading`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from marketdata.domain.answer import Answer, RawResponse
from marketdata.identifiers import time_of

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "raw_response_id": UUID,
    "provider": str,
    "url": str,
    "status": int,
    "headers": Mapping,
    "body": bytes,
    "symbols": (tuple, list),
    "fetched_at": datetime,
}
_APART = timedelta(days=1)  # of a provider that makes the id when it begins to ask, and asks for long
_LARGEST_STATUS = 2**31 - 1  # what the table holds


def breach(answer: object) -> str | None:
    """Return how `answer` breaks what the port Provider asks for, or None where it can be taken up."""
    if not isinstance(answer, Answer):
        return f"it answered with {_name(answer)}, not Answer"
    # Read twice, here and where it is recorded: what can be read once only is refused.
    if not isinstance(answer.raws, (tuple, list)):
        return f"raws is a {_name(answer.raws)}, not a tuple"
    for field in ("quotes", "failures"):
        given = getattr(answer, field)
        if not isinstance(given, Mapping):
            return f"{field} is a {_name(given)}, not a Mapping"
    return next((flaw for raw in answer.raws for flaw in _flaws(raw)), None)


def _flaws(raw: object) -> Iterator[str]:
    """Yield what is wrong; each rule counts on those before it, so only the first may be asked for."""
    if not isinstance(raw, RawResponse):
        yield f"a raw answer is a {_name(raw)}, not a RawResponse"
    for field, kind in _KINDS.items():
        given = getattr(raw, field)
        if not isinstance(given, kind):
            yield f"{field} of a raw answer may not be a {_name(given)}"
    assert isinstance(raw, RawResponse)
    if raw.fetched_at.utcoffset() is None:
        yield "fetched_at of a raw answer has no time zone"
    if not _is_of(raw.fetched_at, raw.raw_response_id):  # the table is partitioned by the day that it tells
        yield "raw_response_id of a raw answer is no UUIDv7 of its fetched_at"
    if isinstance(raw.status, bool) or not 0 <= raw.status <= _LARGEST_STATUS:
        yield "status of a raw answer is out of range"
    if not _is_plain(raw.provider):
        yield "provider of a raw answer is not printable ASCII"
    if not all(isinstance(text, str) for pair in raw.headers.items() for text in pair):
        yield "headers of a raw answer are not all texts"
    if not all(_is_plain(text) for text in raw.symbols):
        yield "symbols of a raw answer are not all printable ASCII"


def _is_of(at: datetime, identifier: UUID) -> bool:
    try:
        return identifier.version == 7 and abs(time_of(identifier) - at) <= _APART
    except OverflowError:  # 48 bits of milliseconds reach beyond the year 9999
        return False


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _name(given: object) -> str:
    return type(given).__name__
