"""How long an upstream asks to be left alone."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST = timedelta(days=1)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return what Retry-After asks for (RFC 9110, 10.2.3: seconds or a date), or None.

    Never negative, a day at most. `headers` has lower-case names.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(timedelta(seconds=int(text[:9])), _LONGEST)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # no date, or a year or zone that no number here can hold
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta()), _LONGEST)
