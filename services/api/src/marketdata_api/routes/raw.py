"""Provider answers as they were received: where a price comes from, byte for byte."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from marketdata.domain.answer import RawResponse
from marketdata.identifiers import time_of
from marketdata_api import answers, problems
from marketdata_api.checked_route import CheckedRoute
from marketdata_api.dependencies import Needs
from marketdata_api.problems import Problem
from marketdata_api.queries import RawQuery

router = APIRouter(prefix="/prices/raw", tags=["lineage"], route_class=CheckedRoute)

# What a browser never runs. A provider's HTML or SVG is somebody else's script on our address.
_SAFE_TYPES = frozenset({"application/json", "text/plain", "text/csv"})
_unsafe = re.compile(r"[^\x20-\x7e]")


@router.get(
    "/{raw_response_id}",
    summary="Raw answer of a provider",
    responses={
        200: {
            "description": "The bytes as received, with what is known about them in X-Raw-… headers.",
            "content": {"application/octet-stream": {}, "application/json": {}},
        },
        410: {"description": "Dropped by retention.", "content": problems.CONTENT},
    },
)
async def raw(needs: Needs, raw_response_id: UUID, query: Annotated[RawQuery, Query()]) -> Response:
    """Return a provider's answer exactly as received; with `meta=true`, what is known about it."""
    found = await needs.store.run(lambda: needs.raw.get(raw_response_id))
    if found is None:
        raise await _absence(needs, raw_response_id)
    if query.meta:
        return answers.json(_meta(found))
    original = found.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Response(
        found.body,
        media_type=original if original in _SAFE_TYPES else "application/octet-stream",
        headers={
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
            "content-disposition": f'attachment; filename="{raw_response_id}"',
            "cache-control": "private, max-age=86400, immutable",
            "x-raw-provider": found.provider,
            "x-raw-status": str(found.status),
            "x-raw-url": _unsafe.sub("?", found.url),
            "x-raw-fetched-at": answers.time(found.fetched_at) or "",
        },
    )


async def _absence(needs: Needs, raw_response_id: UUID) -> Problem:
    dropped = await needs.store.run(needs.raw.dropped_before)
    if raw_response_id.version == 7 and dropped is not None and time_of(raw_response_id) < dropped:
        return Problem(problems.RAW_DROPPED, f"answers received before {answers.time(dropped)} were dropped")
    return Problem(problems.RAW_NOT_FOUND)


def _meta(found: RawResponse) -> dict[str, object]:
    return {
        "raw_response_id": found.raw_response_id,
        "provider": found.provider,
        "url": found.url,
        "status": found.status,
        "headers": dict(found.headers),
        "symbols": found.symbols,
        "fetched_at": answers.time(found.fetched_at),
        "size": len(found.body),
    }
