"""Which providers a job may name."""

from fastapi import APIRouter
from starlette.responses import Response

from marketdata_api import answers
from marketdata_api.dependencies import Needs

router = APIRouter(tags=["providers"])


@router.get("/providers", summary="Providers")
async def providers(needs: Needs) -> Response:
    """List the providers; the default one is taken by jobs that name none."""
    return answers.json(
        {"data": [{"name": name, "default": name == needs.default_provider} for name in needs.providers]}
    )
