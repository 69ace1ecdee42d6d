"""The status of a PollingJob as it stands in the object, and what a new one changes.

Promises: an unchanged status is recognised as such, whatever else another writer put beside it; news
(a condition, a generation, another failing symbol) is told apart from times and counts moving on, so
that the former can be written at once and the latter seldom.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import msgspec

OURS = ("Accepted", "Scheduled", "Fresh", "Ready")


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One condition of our four; times are RFC 3339 in UTC, to the second."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int = 0


class FailedSymbol(msgspec.Struct, frozen=True, omit_defaults=True):
    """A symbol without a price."""

    symbol: str
    reason: str
    message: str | None = None
    since: str | None = None


class Promise(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the job's promise is kept; shares are percentages as strings, left out where no time counted."""

    target: str
    last_day: str | None = None
    last30_days: str | None = None
    budget_remaining: str | None = None


class Status(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The whole status that this operator owns."""

    observed_generation: int | None = None
    job_id: str | None = msgspec.field(name="jobID", default=None)
    provider: str | None = None
    symbol_count: int | None = None
    interval_seconds: int | None = None
    last_schedule_time: str | None = None
    last_successful_time: str | None = None
    next_poll_time: str | None = None
    consecutive_failures: int | None = None
    failed_symbols: tuple[FailedSymbol, ...] = ()
    failed_symbol_count: int | None = None
    slo: Promise | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of type `kind`, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Change(IntEnum):
    """What a wished status has over the one that stands, in the order of urgency."""

    NONE = 0
    TIMES = 1
    NEWS = 2


def read(raw: Mapping[str, Any] | None) -> Status:
    """Return the status in an object's body; what is not ours, or cannot be read, is as if absent."""
    if not raw:
        return Status()
    ours = [each for each in raw.get("conditions") or () if each.get("type") in OURS]
    try:
        return msgspec.convert({**raw, "conditions": ours}, Status)
    except msgspec.ValidationError:
        return Status()


def change(standing: Status, wished: Status) -> Change:
    """Tell what writing `wished` over `standing` would say."""
    if standing == wished:
        return Change.NONE
    return Change.NEWS if _news(standing) != _news(wished) else Change.TIMES


def timestamp(at: datetime | None) -> str | None:
    """Return `at` (aware) as Kubernetes writes times."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _news(status: Status) -> object:
    return (
        status.observed_generation,
        status.job_id,
        status.provider,
        status.symbol_count,
        status.interval_seconds,
        {(failed.symbol, failed.reason) for failed in status.failed_symbols},
        {(each.type, each.status, each.reason, each.observed_generation) for each in status.conditions},
    )
