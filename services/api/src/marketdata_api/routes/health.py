"""Liveness, readiness, version, and the seed's database check."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from marketdata.errors import StoreUnavailable
from marketdata.storage.schema import REVISION
from marketdata_api import answers
from marketdata_api.dependencies import Needs
from marketdata_api.schemas import DatabaseCheck, ReadinessCheck

router = APIRouter(tags=["health"])

_UNREACHABLE: dict[int | str, dict[str, Any]] = {
    503: {"description": "The database does not answer.", "model": DatabaseCheck}
}


@router.get("/healthz", summary="Liveness")
async def healthz() -> dict[str, str]:
    """Tell that the process answers; no dependency is asked."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Readiness",
    response_model=ReadinessCheck,
    responses={
        503: {"description": "Starting, stopping, or the schema is not there yet.", "model": ReadinessCheck}
    },
)
async def readyz(needs: Needs) -> Response:
    """Tell whether to send requests here: once the schema was seen, until the process stops."""
    why = needs.readiness.why_not()
    return answers.json({"status": why or "ok"}, status=503 if why else 200)


@router.get("/version", summary="Release")
async def release() -> dict[str, str | int]:
    """Tell the release and the revision of the schema that it is made for."""
    return {"version": version("marketdata-api"), "schema_revision": REVISION}


@router.get(
    "/test-db",
    summary="Database check",
    response_model=DatabaseCheck,
    response_model_exclude_none=True,
    responses=_UNREACHABLE,
)
@router.get(
    "/prices/test-db",
    summary="Database check",
    response_model=DatabaseCheck,
    response_model_exclude_none=True,
    responses=_UNREACHABLE,
)
async def test_db(needs: Needs) -> Response:
    """Tell whether the database answers, in the seed's words."""
    try:
        await needs.store.run(needs.prices.ping)
    except StoreUnavailable:
        return answers.json({"status": "error", "details": "database unreachable"}, status=503)
    return answers.json({"status": "connected"})
