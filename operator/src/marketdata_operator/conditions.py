"""How a PollingJob fares, in the four conditions that users wait for and read.

Pure. Accepted: the spec is understood and allowed here. Scheduled: its polls are registered. Fresh:
its prices are served and as current as its interval promises. Ready: the summary.

Ready is True as soon as one symbol is fresh, stays True while fewer polls than failureThreshold have
failed in a row, and is Unknown, never False, where nothing can be known yet. A message is for
people and carries no figure that moves with each poll.
"""

from typing import NamedTuple

from marketdata.domain.job_status import OVERDUE_SECONDS, JobStatus
from marketdata_operator.observed import Observed, Refusal

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"

_THROTTLED = frozenset({"rate_limited", "blocked", "budget_exhausted", "breaker_open"})
_NO_SUCH = frozenset({"unknown_symbol", "no_data"})
_NOT_HERE = frozenset({"unknown_provider", "misconfigured"})


class Finding(NamedTuple):
    """A condition without its times."""

    type: str
    status: str
    reason: str
    message: str


def findings(observed: Observed, row: JobStatus | None, *, is_store_away: bool) -> tuple[Finding, ...]:
    """Return the four findings; `row` is None where none is registered or the store is away."""
    accepted = _accepted(observed)
    scheduled = _away("Scheduled") if is_store_away else _scheduled(observed, row)
    fresh = _away("Fresh") if is_store_away else _fresh(observed, row)
    return accepted, scheduled, fresh, _ready(accepted, fresh, row)


def _away(kind: str) -> Finding:
    return Finding(
        kind,
        UNKNOWN,
        "StoreUnavailable",
        "the database cannot be reached; this is brought up to date when it is back",
    )


def _accepted(observed: Observed) -> Finding:
    wish = observed.wish
    if isinstance(wish, Refusal):
        return Finding("Accepted", FALSE, wish.reason, wish.message)
    return Finding(
        "Accepted",
        TRUE,
        "Valid",
        f"{_symbols(len(wish.symbols))} from {wish.provider} each {_duration(wish.interval_seconds)}",
    )


def _scheduled(observed: Observed, row: JobStatus | None) -> Finding:
    is_refused = isinstance(observed.wish, Refusal)
    if row is None:
        if is_refused:
            return Finding("Scheduled", FALSE, "NotAccepted", "nothing is polled before the spec is accepted")
        return Finding("Scheduled", UNKNOWN, "Pending", "not registered yet")
    if row.suspended:
        return Finding(
            "Scheduled", FALSE, "Suspended", "polling is suspended; set spec.suspend to false to resume it"
        )
    if is_refused:
        return Finding(
            "Scheduled",
            TRUE,
            "PreviousSpec",
            f"what generation {row.generation} said is polled still: {_symbols(row.symbol_count)} from "
            f"{row.provider} each {_duration(row.interval_seconds)}",
        )
    if row.generation < observed.generation:
        return Finding("Scheduled", UNKNOWN, "Pending", "the change is not registered yet")
    return Finding("Scheduled", TRUE, "Registered", f"polled each {_duration(row.interval_seconds)}")


def _fresh(observed: Observed, row: JobStatus | None) -> Finding:
    if row is None:
        reason = "NotAccepted" if isinstance(observed.wish, Refusal) else "Pending"
        return Finding("Fresh", UNKNOWN, reason, "nothing is polled yet")
    if row.suspended:
        return Finding(
            "Fresh", UNKNOWN, "Suspended", "prices are not kept current while polling is suspended"
        )
    return Finding("Fresh", *(_served(row) if row.fresh else _unserved(row)))


def _served(row: JobStatus) -> tuple[str, str, str]:
    if row.fresh < row.symbol_count:
        message = f"{row.fresh} of {row.symbol_count} symbols are current; not {_rest(row)}"
        return TRUE, "PartlyFresh", message
    if row.closed == row.symbol_count:
        return TRUE, "MarketClosed", f"the market is closed; {_all(row)} confirmed at each poll"
    return TRUE, "Polling", f"{_all(row)} current"


def _unserved(row: JobStatus) -> tuple[str, str, str]:
    if row.consecutive_failures:
        return FALSE, _failure(row.last_reason), _failure_message(row)
    if row.is_overdue:
        message = (
            f"due for more than {OVERDUE_SECONDS}s and taken by no poller; do pollers run, and is "
            f"{row.provider} installed in them?"
        )
        return FALSE, "PollsDelayed", message
    if row.last_poll_at is None:
        return UNKNOWN, "NeverPolled", "the first poll is still to come"
    if row.is_young:
        return UNKNOWN, "Pending", "the first prices since the last change are still to come"
    if row.polled:
        message = "polled, and the prices are not served: the relay, Kafka or the consumer is behind"
        return FALSE, "PricesDelayed", message
    return FALSE, "PollsDelayed", "no poll has brought a price for longer than three intervals"


def _ready(accepted: Finding, fresh: Finding, row: JobStatus | None) -> Finding:
    def ready(status: str, reason: str, message: str) -> Finding:
        return Finding("Ready", status, reason, message)

    if accepted.status == FALSE:
        return ready(FALSE, accepted.reason, accepted.message)
    if fresh.reason == "Suspended":
        return ready(FALSE, "Suspended", "polling is suspended; set spec.suspend to false to resume it")
    if (
        row is None
        or fresh.status == TRUE
        or not row.consecutive_failures
        or fresh.reason == "StoreUnavailable"
    ):
        return ready(fresh.status, fresh.reason, fresh.message)
    if row.consecutive_failures >= row.failure_threshold:
        return ready(FALSE, fresh.reason, fresh.message)
    if row.last_success_at is None:
        return ready(UNKNOWN, fresh.reason, fresh.message)
    return ready(
        TRUE,
        "Retrying",
        f"{fresh.message}; failureThreshold ({row.failure_threshold}) is not reached",
    )


def _failure(reason: str | None) -> str:
    if reason in _THROTTLED:
        return "ProviderThrottled"
    if reason in _NO_SUCH:
        return "NoSuchSymbols"
    if reason in _NOT_HERE:
        return "ProviderUnavailable"
    return "ProviderError"


def _failure_message(row: JobStatus) -> str:
    said = next((each.get("message") for each in row.failing.values() if each.get("message")), None)
    what = "its symbol has no" if row.symbol_count == 1 else f"none of {row.symbol_count} symbols has a"
    return f"{what} current price from {row.provider}: {said or camel(row.last_reason or 'unknown')}"


def _rest(row: JobStatus) -> str:
    parts = [
        f"{symbol} ({camel(row.failing[symbol]['reason'])})" if symbol in row.failing else symbol
        for symbol in row.stale
    ]
    more = row.symbol_count - row.fresh - len(row.stale)
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _all(row: JobStatus) -> str:
    return "its symbol is" if row.symbol_count == 1 else f"all {row.symbol_count} symbols are"


def _symbols(count: int) -> str:
    return "1 symbol" if count == 1 else f"{count} symbols"


def _duration(seconds: int) -> str:
    for unit, name in ((3600, "h"), (60, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


def camel(reason: str) -> str:
    """Return a reason of the error tree as Kubernetes writes one: unknown_symbol → UnknownSymbol."""
    return "".join(part.capitalize() for part in reason.split("_"))
