"""When a job is due.

Due times lie on a grid, anchor + phase + n·interval, and are never `now + interval`, so they do
not drift. The phase is a hash of the provider: jobs of one provider and interval meet, and are
fetched together; jobs of different providers do not all fall on the full minute.
The storage layer computes the same grid in SQL on the database's clock; a test holds both
against each other.
"""

import hashlib
from datetime import UTC, datetime, timedelta

ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)


def phase_seconds(provider: str, interval_seconds: int) -> int:
    """Return where in the interval the ticks of `provider` fall: 0 ≤ phase < interval, whole seconds."""
    digest = hashlib.sha256(provider.encode()).digest()
    return int.from_bytes(digest[:4], "big") % interval_seconds


def next_tick(after: datetime, *, provider: str, interval_seconds: int) -> datetime:
    """Return the first tick strictly after `after`; the ticks missed before it are one."""
    start = ANCHOR + timedelta(seconds=phase_seconds(provider, interval_seconds))
    interval = timedelta(seconds=interval_seconds)
    return start + ((after - start) // interval + 1) * interval
