"""Both ledgers: what was asked and made, and that nothing of it is missing."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from marketdata.errors import InvalidInput
from marketdata.storage.ledger import EventLedgerRow, PollLedgerRow
from marketdata_api import answers
from marketdata_api.checked_route import CheckedRoute
from marketdata_api.dependencies import Needs
from marketdata_api.queries import LedgerQuery
from marketdata_api.schemas import LedgerAnswer

router = APIRouter(prefix="/prices/ledger", tags=["ledger"], route_class=CheckedRoute)

_DAY = timedelta(days=1)
# A row per job and hour: ten thousand jobs make half a million rows in two days.
_LONGEST = timedelta(days=31)
_LONGEST_OF_ALL_JOBS = timedelta(days=2)
# A day beside any of these is still a date.
_FIRST = datetime(2, 1, 1, tzinfo=UTC)
_LAST = datetime(9998, 1, 1, tzinfo=UTC)


@router.get("", summary="Ledgers of polls and events", response_model=LedgerAnswer)
async def ledger(needs: Needs, query: Annotated[LedgerQuery, Query()]) -> Response:
    """Return polls by job and hour, events by provider and day, whether both balance, and what is beside.

    polls: asked = fresh + unchanged + failed + skipped. events: created = open + stored +
    superseded + dead. Hours and days that the range touches count whole.
    """
    start, end = _range(query, needs.clock.now())
    polls = await needs.store.run(lambda: needs.ledger.polls(query.job_id, start, end))
    events: list[EventLedgerRow] = []
    if query.job_id is None:
        first, last = _midnight(start), _midnight(end - timedelta(microseconds=1)) + _DAY
        events = await needs.store.run(lambda: needs.ledger.events(first, last))
    counters = await needs.store.run(needs.ledger.counters)
    balanced = not any(row.imbalance for row in polls) and not any(row.imbalance for row in events)
    return answers.json(
        {
            "start": answers.time(start),
            "end": answers.time(end),
            "balanced": balanced,
            "polls": [_poll(row) for row in polls],
            "events": [_event(row) for row in events],
            "counters": dataclasses.asdict(counters),
        }
    )


def _range(query: LedgerQuery, now: datetime) -> tuple[datetime, datetime]:
    for field in ("start", "end"):
        if (at := getattr(query, field)) is not None and not _FIRST <= at <= _LAST:
            raise InvalidInput(f"{field} lies outside the years {_FIRST.year} to {_LAST.year}", field=field)
    end = query.end or (now if query.start is None else query.start + _DAY)
    start = (query.start or end - _DAY).replace(minute=0, second=0, microsecond=0)
    longest = _LONGEST_OF_ALL_JOBS if query.job_id is None else _LONGEST
    if start >= end:
        raise InvalidInput("end is not after start", field="end")
    if end - start > longest + timedelta(hours=1):
        raise InvalidInput(
            f"the range is over {longest.days} days; ask for less, or for one job_id (31 days)", field="end"
        )
    return start, end


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _poll(row: PollLedgerRow) -> dict[str, object]:
    return {**dataclasses.asdict(row), "hour": answers.time(row.hour), "balanced": not row.imbalance}


def _event(row: EventLedgerRow) -> dict[str, object]:
    return {**dataclasses.asdict(row), "day": row.day.isoformat(), "balanced": not row.imbalance}
