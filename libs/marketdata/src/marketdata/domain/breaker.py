"""When a provider is left alone, and how it is tried again.

            failure of a kind that speaks for itself, or the 5th of any kind in a row
    closed ───────────────────────────────────────────────────────────────────────────> open
      ^                                                                                   │ cooldown over
      └──────────── the probe succeeded ──────────── half open <──────────────────────────┘
                                                        └── the probe failed: open, twice as long

Half open lets exactly one caller through, the holder of the probe, in the whole deployment. A
probe that never reports back is given up after PROBE_SECONDS. Times are the database's.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from marketdata.errors import Blocked, MarketDataError, Permanent, RateLimited

FIRST_COOLDOWN = timedelta(seconds=60)
LONGEST_COOLDOWN = timedelta(minutes=15)
FAILURES_TO_OPEN = 5
PROBE_TIMEOUT = timedelta(seconds=60)  # above every provider's deadline


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one (provider, endpoint); `open_until` is None while it is closed."""

    failures: int = 0
    open_until: datetime | None = None
    cooldown: timedelta = timedelta(0)
    probe_owner: str | None = None
    probe_until: datetime | None = None


CLOSED = Breaker()


def admit(breaker: Breaker, *, owner: str, now: datetime) -> tuple[Breaker, bool]:
    """Return the state after `owner` asked to send a request, and whether it may."""
    if breaker.open_until is None:
        return breaker, True
    if now < breaker.open_until:
        return breaker, False
    if breaker.probe_until is not None and now < breaker.probe_until:
        return breaker, False
    return replace(breaker, probe_owner=owner, probe_until=now + PROBE_TIMEOUT), True


def after_success(breaker: Breaker, *, owner: str) -> Breaker:
    """Return the state after an answer to `owner`.

    An answer to a request that was under way when the breaker opened closes nothing.
    """
    if breaker.open_until is None or breaker.probe_owner == owner:
        return CLOSED
    return breaker


def after_failure(breaker: Breaker, error: MarketDataError, *, owner: str, now: datetime) -> Breaker:
    """Return the state after a request of `owner` failed with `error`.

    A Permanent error is an answer: the upstream works and says no to a symbol.
    """
    if isinstance(error, Permanent):
        return after_success(breaker, owner=owner)
    asked_for = getattr(error, "retry_after", None) or timedelta(0)
    if breaker.open_until is not None and breaker.probe_owner != owner:
        # Late news of what opened it already: a longer wait asked for counts, another doubling does not.
        return replace(breaker, open_until=max(breaker.open_until, now + asked_for))
    failures = breaker.failures + 1
    speaks_for_itself = isinstance(error, RateLimited | Blocked)
    if breaker.open_until is None and not speaks_for_itself and failures < FAILURES_TO_OPEN:
        return replace(breaker, failures=failures)
    cooldown = min(max(FIRST_COOLDOWN, breaker.cooldown * 2), LONGEST_COOLDOWN)
    return Breaker(failures=failures, open_until=now + max(cooldown, asked_for), cooldown=cooldown)


def give_up_probe(breaker: Breaker, *, owner: str) -> Breaker:
    """Return the state after `owner` found that it cannot send its probe."""
    if breaker.probe_owner != owner:
        return breaker
    return replace(breaker, probe_owner=None, probe_until=None)
