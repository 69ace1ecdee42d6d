"""When a price should no longer be trusted to be current, and when a market is merely closed.

A price is stale when the provider has not confirmed it for longer than its job's interval
promises: `now - fetched_at` beyond three intervals plus a grace of 10 s for one slow poll.
A closed market alone makes nothing stale: its last price goes on being confirmed by each poll.
"""

GRACE_SECONDS = 10
MISSED_POLLS = 3
DEFAULT_STALE_AFTER_SECONDS = 300  # for events that do not say their interval


def stale_after_seconds(interval_seconds: int | None) -> int:
    """Return how long after `fetched_at` a price counts as current."""
    if interval_seconds is None:
        return DEFAULT_STALE_AFTER_SECONDS
    return MISSED_POLLS * interval_seconds + GRACE_SECONDS


def interval_seconds(stale_after: int) -> int | None:
    """Return the interval that `stale_after_seconds` was computed from; None for the default."""
    interval, rest = divmod(stale_after - GRACE_SECONDS, MISSED_POLLS)
    return None if rest else interval
