"""The status and the events that say how an object fares, made from the findings about it.

Pure. A condition keeps its lastTransitionTime as long as its status does. An event is made only where
Accepted or Ready becomes True or False, so `kubectl describe` tells a story and not a log.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from marketdata.domain import promise
from marketdata.domain.job import Slo
from marketdata.domain.job_status import JobStatus
from marketdata.domain.promise import Standing
from marketdata_operator.conditions import FALSE, UNKNOWN, Finding, camel, findings
from marketdata_operator.observed import Observed
from marketdata_operator.resource import MAX_FAILED_SYMBOLS, MAX_MESSAGE_LENGTH
from marketdata_operator.status import Condition, FailedSymbol, Promise, Status, timestamp

_TOLD = ("Accepted", "Ready")
_CALM = frozenset({"Suspended"})  # False by wish is no warning


class Happening(NamedTuple):
    """An event to be posted: `kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


def status(
    observed: Observed,
    row: JobStatus | None,
    *,
    now: datetime,
    is_store_away: bool,
    seldom_seconds: float,
) -> Status:
    """Return the status of `observed`; with the store away the figures stay as they stand.

    `seldom_seconds` is how often times are written: a next poll sooner than that is left out, as it
    would be over before anyone reads it.
    """
    conditions = tuple(
        _condition(finding, observed, now) for finding in findings(observed, row, is_store_away=is_store_away)
    )
    asked = replace(
        observed.status if is_store_away else Status(),
        observed_generation=observed.generation,
        provider=observed.wish.provider,
        symbol_count=observed.symbol_count,
        interval_seconds=observed.wish.interval_seconds,
        conditions=conditions,
    )
    if row is None:
        return asked
    failing = _failed(row.failing)
    is_worth_saying = row.interval_seconds >= seldom_seconds
    return replace(
        asked,
        job_id=str(row.job_id),
        last_schedule_time=timestamp(row.last_poll_at),
        last_successful_time=timestamp(row.last_success_at),
        next_poll_time=timestamp(row.due_at) if is_worth_saying else None,
        consecutive_failures=row.consecutive_failures,
        failed_symbols=failing,
        failed_symbol_count=max(row.failing_count, len(failing)),
        slo=_promise(row.slo, row.standing) if row.slo else None,
    )


def happenings(standing: Status, wished: Status) -> tuple[Happening, ...]:
    """Return the events that `wished` over `standing` is worth, one for each reason."""
    told: dict[str, Happening] = {}
    for kind in _TOLD:
        before, after = standing.condition(kind), wished.condition(kind)
        if after is None or after.status in {UNKNOWN, before.status if before else UNKNOWN}:
            continue
        is_bad = after.status == FALSE and after.reason not in _CALM
        told[after.reason] = Happening("Warning" if is_bad else "Normal", after.reason, after.message)
    return tuple(told.values())


def _condition(finding: Finding, observed: Observed, now: datetime) -> Condition:
    before = observed.status.condition(finding.type)
    is_same = before is not None and before.status == finding.status
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=finding.message,
        last_transition_time=before.last_transition_time if before and is_same else timestamp(now) or "",
        observed_generation=observed.generation,
    )


def _failed(failing: Mapping[str, Mapping[str, str]]) -> tuple[FailedSymbol, ...]:
    return tuple(
        FailedSymbol(
            symbol=symbol,
            reason=camel(failing[symbol].get("reason", "unknown")),
            message=(failing[symbol].get("message") or "")[:MAX_MESSAGE_LENGTH] or None,
            since=_since(failing[symbol].get("since")),
        )
        for symbol in sorted(failing)[:MAX_FAILED_SYMBOLS]
    )


def _promise(slo: Slo, standing: Standing) -> Promise:
    shares = (
        promise.share(standing.day),
        promise.share(standing.month),
        promise.budget_remaining(slo, standing.month),
    )
    return Promise(slo.target, *(None if each is None else f"{each.normalize():f}" for each in shares))


def _since(text: str | None) -> str | None:
    return timestamp(datetime.fromisoformat(text)) if text else None
