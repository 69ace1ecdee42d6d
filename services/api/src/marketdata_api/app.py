"""The application: routes, what they answer when they refuse, and the edge in front of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from marketdata.errors import MarketDataError
from marketdata_api import docs, problems
from marketdata_api.dependencies import Dependencies
from marketdata_api.edge import VERSION_PREFIX, Edge, instance
from marketdata_api.invalid import field_error
from marketdata_api.problems import Problem
from marketdata_api.routes import health, jobs, ledger, prices, providers, raw

_MOST_FIELD_ERRORS = 20
_OF_STATUS = {
    400: problems.MALFORMED,
    404: problems.NOT_FOUND,
    405: problems.METHOD_NOT_ALLOWED,
    413: problems.BODY_TOO_LARGE,
    415: problems.UNSUPPORTED_MEDIA_TYPE,
}
_ABOUT = """Prices, moving averages and the polling jobs behind them.

Everything is served under `/v1` as well. Times are RFC 3339 in UTC; prices are JSON numbers with
the provider's own digits. Refusals are `application/problem+json` (RFC 9457)."""


def create_app(dependencies: Dependencies) -> Edge:
    """Return the ASGI application."""
    app = docs.Documented(
        title="Market data",
        version=version("marketdata-api"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.dependencies = dependencies
    # Fixed paths come before those with a parameter, so that no job id can hide them.
    routers = [
        health.router,
        docs.router,
        prices.router,
        raw.router,
        ledger.router,
        jobs.router,
        providers.router,
    ]
    for router in routers:
        app.include_router(router, responses=docs.PROBLEMS)
    docs.mount_assets(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(MarketDataError, _refused)
    app.add_exception_handler(Problem, _refused)
    app.add_exception_handler(Exception, _refused)
    methods = _Methods(app, routers)
    app.state.methods = methods
    return Edge(
        app=app,
        latest=dependencies.latest,
        allowed=methods.of,
        metrics=dependencies.metrics,
        clock=dependencies.clock,
        max_in_work=dependencies.max_in_work,
        max_body_bytes=dependencies.max_body_bytes,
        body_seconds=dependencies.body_seconds,
        keys=dependencies.keys,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    dependencies: Dependencies = app.state.dependencies
    watching = asyncio.create_task(dependencies.readiness.watch())
    yield
    dependencies.readiness.stop()
    await watching
    await dependencies.latest.close()
    await dependencies.store.outage.close()


class _Methods:
    """Which methods each path takes: a framework's 405 names those of one route only."""

    def __init__(self, app: FastAPI, routers: Sequence[APIRouter]) -> None:
        # The application's own are the OpenAPI document and the folders of files.
        found = [*app.routes, *(route for router in routers for route in router.routes)]
        self._routes = [route for route in found if isinstance(route, Route)]
        self._folders = [route for route in found if isinstance(route, Mount)]

    def of(self, path: str) -> frozenset[str]:
        methods: set[str] = set()
        for route in self._routes:
            if route.path_regex.match(path):
                methods |= route.methods or set()
        if any(folder.path_regex.match(path) for folder in self._folders):
            methods.add("GET")
        if "GET" in methods:
            methods.add("HEAD")
        return frozenset(methods | {"OPTIONS"}) if methods else frozenset()


def _send(request: Request, problem: Problem) -> Response:
    rendered = problems.render(problem, instance=instance(request.scope), trace_id=request.state.request_id)
    return Response(rendered.body, status_code=rendered.status, headers=dict(rendered.headers))


async def _refused(request: Request, error: Exception) -> Response:
    where = "query" if request.method == "GET" else "body"
    return _send(request, problems.of(error, where=where))


async def _http(request: Request, raised: Exception) -> Response:
    error = cast("HTTPException", raised)
    kind = _OF_STATUS.get(error.status_code, problems.MALFORMED)
    headers = dict(error.headers or {})
    if kind is problems.METHOD_NOT_ALLOWED:
        # Not root_path: in a folder of files that is the folder.
        path = request.scope["path"].removeprefix(VERSION_PREFIX)
        headers["allow"] = ", ".join(sorted(request.app.state.methods.of(path)))
    return _send(request, Problem(kind, headers=headers))


async def _invalid(request: Request, raised: Exception) -> Response:
    error = cast("RequestValidationError", raised)
    found = [field_error(entry) for entry in error.errors()[:_MOST_FIELD_ERRORS]]
    detail = "; ".join(dict.fromkeys(entry.detail for entry in found[:3]))
    return _send(request, Problem(problems.VALIDATION, detail, errors=found))
