"""What became of a poll, symbol by symbol, and what that says about the job that asked.

A poll serves one due tick of one job. Each of its symbols ends in exactly one of four outcomes,
and the ledger of polls holds because a tally counts each symbol once:

    asked = fresh + unchanged + failed + skipped
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from marketdata.errors import BreakerOpen, BudgetExhausted, MarketDataError, StoreUnavailable


class Outcome(StrEnum):
    """How one symbol of one poll ended."""

    FRESH = "fresh"  # a price with another time or value than the one before
    UNCHANGED = "unchanged"  # the provider repeated what was known
    FAILED = "failed"  # asked, and no price came
    SKIPPED = "skipped"  # not asked, to spare the provider


# The request was never sent: nothing is known about the symbol that was not known before.
_NOT_ASKED = (BreakerOpen, BudgetExhausted, StoreUnavailable)


@dataclass(frozen=True, slots=True)
class SymbolOutcome:
    """The outcome for one symbol. `asked_at` is when its request began, on the database's clock.

    `reason` and `message` speak of a failure or a skip, and are None otherwise.
    """

    outcome: Outcome
    asked_at: datetime
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class DueJob:
    """One due tick of a job, held under a lease.

    `tick_at` is the due time as claimed; `lease_token` proves the lease.
    """

    job_id: UUID
    tick_at: datetime
    lease_token: UUID
    interval_seconds: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one poll; `failed` and `skipped` by reason."""

    asked: int
    fresh: int
    unchanged: int
    failed: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Tell whether at least one symbol got a price."""
        return self.fresh + self.unchanged > 0

    @property
    def main_reason(self) -> str | None:
        """Return the most frequent reason for a missing price, the first by name among equals."""
        reasons = sorted({*self.failed, *self.skipped})
        return max(reasons, key=lambda r: self.failed.get(r, 0) + self.skipped.get(r, 0), default=None)


def outcome_of(error: MarketDataError, asked_at: datetime) -> SymbolOutcome:
    """Return the outcome of a symbol that got no price because of `error`."""
    kind = Outcome.SKIPPED if isinstance(error, _NOT_ASKED) else Outcome.FAILED
    return SymbolOutcome(kind, asked_at, error.reason, str(error))


def answers(known: SymbolOutcome | None, job: DueJob) -> bool:
    """Tell whether what is known about a symbol serves `job`: it was asked for since the tick."""
    return known is not None and known.asked_at >= job.tick_at


def tally(symbols: Sequence[str], outcomes: Mapping[str, SymbolOutcome]) -> Tally:
    """Count the outcomes of `symbols`, each of which has one."""
    counts = dict.fromkeys(Outcome, 0)
    reasons: dict[Outcome, dict[str, int]] = {Outcome.FAILED: {}, Outcome.SKIPPED: {}}
    for symbol in symbols:
        found = outcomes[symbol]
        counts[found.outcome] += 1
        if found.outcome in reasons:
            by_reason = reasons[found.outcome]
            reason = found.reason or "unknown"
            by_reason[reason] = by_reason.get(reason, 0) + 1
    return Tally(
        asked=len(symbols),
        fresh=counts[Outcome.FRESH],
        unchanged=counts[Outcome.UNCHANGED],
        failed=reasons[Outcome.FAILED],
        skipped=reasons[Outcome.SKIPPED],
    )
