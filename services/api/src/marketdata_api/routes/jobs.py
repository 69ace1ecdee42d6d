"""Polling jobs: made, listed, read, suspended and resumed, polled now, deleted.

Nothing is fetched in a request: a new job is due at once, and the pollers do the rest.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from marketdata.domain.job import PollingJob, Slo
from marketdata.errors import InvalidInput, StoreUnavailable
from marketdata.identifiers import uuid7
from marketdata.storage.job_book import JobView
from marketdata_api import answers, problems, promises
from marketdata_api.checked_route import CheckedRoute
from marketdata_api.dependencies import Dependencies, Needs
from marketdata_api.problems import FieldError, Problem
from marketdata_api.queries import JobListQuery, nothing_asked
from marketdata_api.schemas import Job, JobAccepted, JobChange, JobPage, JobRequest
from marketdata_api.store import EffectUnknown

router = APIRouter(prefix="/prices/poll", tags=["jobs"], route_class=CheckedRoute)

_TEXT = {"schema": {"type": "string"}}
_MADE = {
    "Location": {"description": "Where the job is read.", **_TEXT},
    "Idempotency-Replayed": {"description": "`true` where the job was made before.", **_TEXT},
}
_NAMED_OTHERWISE: dict[int | str, dict[str, Any]] = {
    415: {
        "description": "The body is not said to be JSON.",
        "content": problems.CONTENT,
        "headers": {"Accept": {"description": "What to send it as.", **_TEXT}},
    }
}
_NO_QUERY = [Depends(nothing_asked)]

Result = TypeVar("Result")

_UNKNOWN = (
    "whether the job was made is unknown: look for it at GET /prices/poll before you repeat this,"
    " or send an Idempotency-Key from the start, under which repeating makes no second job"
)
_UNKNOWN_UNDER_KEY = (
    "whether the job was made is unknown: repeat this under the same Idempotency-Key, and there is one"
)
_key = re.compile(r"[\x21-\x7e]{1,255}")


@router.post(
    "",
    summary="Make a polling job",
    status_code=202,
    response_model=JobAccepted,
    responses={202: {"headers": _MADE}, **_NAMED_OTHERWISE},
)
async def create(
    needs: Needs,
    request: Request,
    wish: JobRequest,
    idempotency_key: Annotated[
        str | None, Header(description="The same key and body again, within 24 h, make no second job.")
    ] = None,
) -> Response:
    """Store a polling job, due at once; the answer does not wait for a price."""
    job = _admitted(needs, wish)
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise _bad_key("there is more than one Idempotency-Key; send one")
    idempotency = _idempotency(idempotency_key, wish)
    try:
        stored = await _done(
            needs,
            partial(needs.jobs.create, job, idempotency=idempotency),
            undone="no job was made",
            unknown=_UNKNOWN if idempotency is None else _UNKNOWN_UNDER_KEY,
        )
    except InvalidInput as error:
        if error.field != "Idempotency-Key":
            raise
        raise Problem(
            problems.KEY_REUSED, str(error), errors=[FieldError("header", ["Idempotency-Key"], str(error))]
        ) from error
    headers = {"location": f"{request.scope['root_path']}/prices/poll/{stored.job_id}"}
    if stored.job_id != job.job_id:
        headers["idempotency-replayed"] = "true"
    accepted = {"job_id": stored.job_id, "status": "accepted", "config": _config(stored)}
    return answers.json(accepted, status=202, headers=headers)


@router.get("", summary="List polling jobs", response_model=JobPage, responses=answers.PAGED)
async def page(needs: Needs, request: Request, query: Annotated[JobListQuery, Query()]) -> Response:
    """List the jobs, oldest first."""
    filters = query.model_dump(mode="json", exclude={"limit", "page_token"})
    after = None
    if query.page_token is not None:
        after = needs.tokens.read(query.page_token, of="jobs", filters=filters, tie=UUID)
    found = await needs.store.run(
        partial(
            needs.jobs.page,
            limit=query.limit + 1,
            after=after,
            provider=query.provider,
            symbol=query.symbol,
            suspended=query.suspended,
        )
    )
    token = None
    if len(found) > query.limit:
        last = found[query.limit - 1]
        token = needs.tokens.issue(
            (last.created_at.isoformat(), str(last.job.job_id)), of="jobs", filters=filters
        )
    return answers.page(request, [_job(view) for view in found[: query.limit]], token)


@router.get("/{job_id}", summary="Read a polling job", response_model=Job, dependencies=_NO_QUERY)
async def read(needs: Needs, job_id: UUID) -> Response:
    """Return a job and how it fares."""
    view = await needs.store.run(lambda: needs.jobs.get(job_id))
    if view is None:
        raise Problem(problems.JOB_NOT_FOUND)
    return answers.json(_job(view))


@router.patch(
    "/{job_id}", summary="Suspend or resume a polling job", response_model=Job, dependencies=_NO_QUERY
)
async def change(needs: Needs, job_id: UUID, wish: JobChange) -> Response:
    """Suspend a job, or resume it: `{"suspended": true}`. A resumed job is due at once."""
    view = await _done(needs, lambda: needs.jobs.set_suspended(job_id, wish.suspended))
    if view is None:
        raise Problem(problems.JOB_NOT_FOUND)
    return answers.json(_job(view))


@router.delete("/{job_id}", summary="Delete a polling job", status_code=204, dependencies=_NO_QUERY)
async def delete(needs: Needs, job_id: UUID) -> Response:
    """Delete a job; its prices and its ledger stay."""
    if not await _done(needs, lambda: needs.jobs.delete(job_id)):
        raise Problem(problems.JOB_NOT_FOUND)
    return Response(status_code=204)


@router.post("/{job_id}/runs", summary="Poll now", status_code=202, dependencies=_NO_QUERY)
async def poll_now(needs: Needs, job_id: UUID) -> Response:
    """Make a job due now, beside its schedule."""
    if not await _done(needs, lambda: needs.jobs.poll_now(job_id)):
        view = await needs.store.run(lambda: needs.jobs.get(job_id))
        raise Problem(problems.JOB_NOT_FOUND if view is None else problems.JOB_SUSPENDED)
    return answers.json({"job_id": job_id, "status": "accepted"}, status=202)


async def _done(
    needs: Dependencies,
    change: Callable[[], Result],
    *,
    undone: str = "nothing was changed",
    unknown: str = "whether it was changed is unknown, and asking once more is safe",
) -> Result:
    """Return what `change` returns; where the database is away, tell what is known of the effect."""
    try:
        return await needs.store.run(change)
    except StoreUnavailable as error:
        told = unknown if isinstance(error, EffectUnknown) else undone
        raise Problem(
            problems.DATABASE_UNAVAILABLE, f"{error}; {told}", retry_after=error.retry_after
        ) from error


def _admitted(needs: Dependencies, wish: JobRequest) -> PollingJob:
    provider = wish.provider or needs.default_provider
    if provider not in needs.providers:
        detail = f"provider {provider!r} is not known here; known are {', '.join(needs.providers)}"
        raise Problem(problems.UNKNOWN_PROVIDER, detail, errors=[FieldError("body", ["provider"], detail)])
    interval = int(wish.interval)
    if interval < needs.min_interval_seconds:
        raise InvalidInput(
            f"interval is under this deployment's floor of {needs.min_interval_seconds} s", field="interval"
        )
    return PollingJob(
        job_id=uuid7(needs.clock.now()),
        symbols=tuple(wish.symbols),
        provider=provider,
        interval_seconds=interval,
        slo=Slo(wish.slo.max_age_seconds, wish.slo.target) if wish.slo else None,
    )


def _idempotency(key: str | None, wish: JobRequest) -> tuple[str, bytes] | None:
    if key is None:
        return None
    if not _key.fullmatch(key):
        raise _bad_key("Idempotency-Key is 1 to 255 visible ASCII characters")
    # What is asked, not how it was written: another order of fields is the same request.
    promised = (wish.slo.max_age_seconds, wish.slo.target) if wish.slo else None
    meant = msgspec.json.encode([wish.symbols, wish.interval, wish.provider, promised])
    return key, hashlib.sha256(meant).digest()


def _bad_key(detail: str) -> Problem:
    return Problem(problems.VALIDATION, detail, errors=[FieldError("header", ["Idempotency-Key"], detail)])


def _config(job: PollingJob) -> dict[str, object]:
    return {"symbols": job.symbols, "interval": job.interval_seconds, "provider": job.provider}


def _job(view: JobView) -> dict[str, object]:
    job, origin = view.job, view.job.origin
    return {
        "job_id": job.job_id,
        "status": "suspended" if job.suspended else "active",
        "config": _config(job),
        "suspended": job.suspended,
        "origin": "kubernetes" if origin else "api",
        "kubernetes": origin
        and {
            "release": origin.release,
            "namespace": origin.namespace,
            "name": origin.name,
            "uid": origin.uid,
        },
        "created_at": answers.time(view.created_at),
        "updated_at": answers.time(view.updated_at),
        "next_due_at": answers.time(view.due_at),
        "last_poll_at": answers.time(view.last_poll_at),
        "last_success_at": answers.time(view.last_success_at),
        "consecutive_failures": view.consecutive_failures,
        "last_reason": view.last_reason,
        "slo": job.slo and promises.shown(job.slo, view.standing),
        "failing": {symbol: _failure(told) for symbol, told in view.failing.items()},
    }


def _failure(told: Mapping[str, str]) -> dict[str, str | None]:
    return {**told, "since": answers.time(datetime.fromisoformat(told["since"]))}
