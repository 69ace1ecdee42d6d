"""JSON answers with prices as the numbers they are: from Decimal, never through binary floats."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from marketdata.messages.latest import format_time

PAGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Link": {"description": "The next page, as rel=next.", "schema": {"type": "string"}}}}
}
"""What the document says of an answer by `page`."""

_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def json(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `content` as JSON; ids become text, times are given as text already."""
    return Response(
        _encoder.encode(content), status_code=status, media_type="application/json", headers=headers
    )


def time(at: datetime | None) -> str | None:
    """Return RFC 3339 in UTC, or None."""
    return None if at is None else format_time(at)


def page(
    request: Request, data: list[Any], token: str | None, *, beside: Mapping[str, object] | None = None
) -> Response:
    """Return one page under `data`, with the next page's token in the body and its address in Link."""
    headers = {}
    if token is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "page_token"]
        query = urlencode([*kept, ("page_token", token)])
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return json({**(beside or {}), "data": data, "next_page_token": token}, headers=headers)
