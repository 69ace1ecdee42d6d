"""Time-ordered identifiers.

Raw answers and outbox rows are partitioned by day on their own id, so an id must tell its time:
a UUIDv7 (RFC 9562, 5.7) carries 48 bits of Unix milliseconds in front, and Postgres compares
uuids as bytes, so a day is one range of ids.
"""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0x2 << 62


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def uuid7(at: datetime) -> UUID:
    """Return a new UUIDv7 of the instant `at` (aware), with 74 random bits behind it."""
    noise = secrets.randbits(74)
    high = (noise >> 62) << 64
    low = noise & ((1 << 62) - 1)
    return UUID(int=(_milliseconds(at) << 80) | _VERSION_7 | high | _VARIANT_RFC | low)


def time_of(identifier: UUID) -> datetime:
    """Return the instant a UUIDv7 was made for, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=identifier.int >> 80)


def lower_bound(at: datetime) -> UUID:
    """Return the smallest uuid of the instant `at`: the bound of a partition that begins there.

    A UUIDv7 knows no time before 1970; that of an earlier instant is the smallest of all.
    """
    return UUID(int=max(0, _milliseconds(at)) << 80)
