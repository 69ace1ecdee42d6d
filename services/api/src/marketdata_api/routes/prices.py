"""Latest prices, averages and history."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from marketdata.domain.symbol import parse_provider
from marketdata.messages.latest import plain
from marketdata.storage.price_reader import AveragePoint, StoredPoint
from marketdata_api import answers, problems
from marketdata_api.checked_route import CheckedRoute
from marketdata_api.dependencies import Needs
from marketdata_api.latest import NOT_FOUND_DETAIL, wish
from marketdata_api.problems import Problem
from marketdata_api.queries import AverageQuery, BatchQuery, HistoryQuery, ProviderFilter
from marketdata_api.schemas import (
    Average,
    AveragePage,
    HistoryPage,
    LatestBatch,
    LatestPrice,
    Symbol,
)

router = APIRouter(prefix="/prices", tags=["prices"], route_class=CheckedRoute)

_PAGE = 100

_NOT_MODIFIED: dict[int | str, dict[str, object]] = {
    304: {"description": "The tag in If-None-Match still holds."}
}
_HEADERS = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in (
        ("X-Cache", "HIT from Redis, MISS when Redis had nothing, BYPASS when Redis was away."),
        ("ETag", "Weak: covers everything but the age."),
        ("Last-Modified", "When the price was fetched."),
        ("Cache-Control", "Private, until the next poll is expected."),
    )
}


@router.get(
    "/latest",
    summary="Latest price",
    response_model=LatestPrice,
    responses={200: {"headers": _HEADERS}, **_NOT_MODIFIED},
)
async def latest(
    needs: Needs,
    request: Request,
    symbol: Symbol,  # noqa: ARG001 - documented here, read from the bytes by LatestPrices
    provider: ProviderFilter = None,  # noqa: ARG001
) -> Response:
    """Return the newest price of `symbol`, by the provider's clock; without `provider`, of any.

    The edge answers this address before it comes here; this is the same answer, documented.
    """
    tags = ", ".join(request.headers.getlist("if-none-match"))
    reply = await needs.latest.answer(request.scope["query_string"], tags.encode("latin-1") if tags else None)
    response = Response(reply.body, status_code=reply.status)
    response.raw_headers = list(reply.headers)
    return response


@router.get("/latest/batch", summary="Latest prices of several symbols", response_model=LatestBatch)
async def latest_batch(needs: Needs, request: Request, query: Annotated[BatchQuery, Query()]) -> Response:
    """Return the newest price of each symbol, and a problem for each that has none; 404 if none has."""
    asked = [wish(symbol, query.provider) for symbol in query.symbols]
    found = await asyncio.gather(*(needs.latest.find(one) for one in asked))
    now = needs.clock.now().timestamp()
    data, missing = {}, []
    for one, (price, _) in zip(asked, found, strict=True):
        if price is None:
            missing.append(one)
        else:
            data[one.series[0]] = msgspec.Raw(price.body.at(now))
    if not data:
        raise Problem(problems.UNKNOWN_SYMBOL, NOT_FOUND_DETAIL)
    errors = {}
    for one, absence in zip(missing, await needs.latest.absences(missing) if missing else [], strict=True):
        symbol = one.series[0]
        rendered = problems.render(
            absence, instance=f"/prices/latest?symbol={symbol}", trace_id=request.state.request_id
        )
        errors[symbol] = msgspec.Raw(rendered.body)
    return answers.json({"data": data, "errors": errors})


@router.get(
    "/average", summary="Moving average", response_model=Average | AveragePage, responses=answers.PAGED
)
async def average(needs: Needs, request: Request, query: Annotated[AverageQuery, Query()]) -> Response:
    """Return the moving average at the newest point; with `limit`, the series of averages, newest first."""
    symbol, provider, window, limit = query.symbol, query.provider, query.window, query.limit
    filters = {"symbol": symbol, "provider": provider, "window": window}
    before, series = None, provider
    if query.page_token is not None:
        before, series = needs.tokens.read(
            query.page_token, of="averages", filters=filters, tie=parse_provider
        )
        limit = limit or _PAGE
    count = 1 if limit is None else limit + 1
    found = await needs.store.run(
        partial(
            needs.prices.averages, symbol=symbol, provider=series, window=window, before=before, limit=count
        )
    )
    if not found and before is None:
        raise await needs.latest.absence(wish(symbol, provider))
    if limit is None:
        return answers.json(_average(found[0]))
    token = None
    if len(found) > limit:
        last = found[limit - 1]
        # The provider goes along: that of the newest point may have changed by the next page.
        token = needs.tokens.issue(
            (last.observed_at.isoformat(), last.provider), of="averages", filters=filters
        )
    beside = {"symbol": symbol, "provider": found[0].provider if found else series, "window": window}
    return answers.page(request, [_average(point) for point in found[:limit]], token, beside=beside)


@router.get("/history", summary="Price history", response_model=HistoryPage, responses=answers.PAGED)
async def history(needs: Needs, request: Request, query: Annotated[HistoryQuery, Query()]) -> Response:
    """Return stored prices by the provider's clock; without `provider`, of all of them, merged."""
    filters = query.model_dump(mode="json", exclude={"limit", "page_token"})
    after = None
    if query.page_token is not None:
        after = needs.tokens.read(query.page_token, of="history", filters=filters, tie=parse_provider)
    found = await needs.store.run(
        partial(
            needs.prices.history,
            symbol=query.symbol,
            provider=query.provider,
            start=query.start,
            end=query.end,
            newest_first=query.sort == "desc",
            after=after,
            limit=query.limit + 1,
        )
    )
    token = None
    if len(found) > query.limit:
        last = found[query.limit - 1]
        token = needs.tokens.issue(
            (last.observed_at.isoformat(), last.provider), of="history", filters=filters
        )
    return answers.page(request, [_point(point) for point in found[: query.limit]], token)


def _average(point: AveragePoint) -> dict[str, object]:
    return {
        "symbol": point.symbol,
        "provider": point.provider,
        "moving_average": plain(point.average.average),
        "timestamp": answers.time(point.observed_at),
        "window": point.window,
        "sample_size": point.average.sample_size,
        "complete": point.average.sample_size == point.window,
        "raw_response_ids": point.raw_response_ids,
    }


def _point(point: StoredPoint) -> dict[str, object]:
    return {
        "symbol": point.symbol,
        "provider": point.provider,
        "timestamp": answers.time(point.observed_at),
        "price": plain(point.price),
        "currency": point.currency,
        "fetched_at": answers.time(point.fetched_at),
        "stored_at": answers.time(point.stored_at),
        "raw_response_id": point.raw_response_id,
    }
