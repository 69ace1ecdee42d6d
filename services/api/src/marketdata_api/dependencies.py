"""What the routes work with, handed to `create_app` and found on the request."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from marketdata.clock import Clock
from marketdata_api.keys import KeyRing
from marketdata_api.latest import LatestPrices
from marketdata_api.paging import PageTokens
from marketdata_api.ports import JobBook, Ledger, PriceBook, RawArchive
from marketdata_api.readiness import Readiness
from marketdata_api.store import StoreCalls
from marketdata_api.telemetry import ApiMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """The API's collaborators; made in `wiring.py`, or by a test."""

    clock: Clock
    latest: LatestPrices
    prices: PriceBook
    jobs: JobBook
    ledger: Ledger
    raw: RawArchive
    store: StoreCalls
    tokens: PageTokens
    readiness: Readiness
    metrics: ApiMetrics
    keys: KeyRing | None
    providers: tuple[str, ...]
    default_provider: str
    min_interval_seconds: int
    max_in_work: int
    max_body_bytes: int
    body_seconds: float


def _dependencies(request: Request) -> Dependencies:
    return cast("Dependencies", request.app.state.dependencies)


Needs = Annotated[Dependencies, Depends(_dependencies)]
