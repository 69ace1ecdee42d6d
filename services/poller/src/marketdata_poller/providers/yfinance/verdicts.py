"""What the status, headers and first bytes of a Yahoo answer mean, in our error tree.

Pure and shared by the session, which tells the gate, and by `reading`, which reads stored answers.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from marketdata.errors import (
    BadResponse,
    Blocked,
    MarketDataError,
    RateLimited,
    UpstreamUnavailable,
)
from marketdata_poller.providers.retry_after import retry_after

_TOO_MANY = b"too many requests"
_BACK_SOON = b"will be right back"
_LONGEST_CRUMB = 64  # they are 11 characters; whatever is longer is a page or an apology


class Endpoint(StrEnum):
    """The classes of upstream requests that are limited apart from each other."""

    COOKIE = "cookie"
    CRUMB = "crumb"
    QUOTE = "quote"
    CHART = "chart"
    OTHER = "other"


def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint class of a Yahoo address, behind a base URL or not."""
    parts = urlsplit(url)
    where = f"{parts.hostname}{parts.path}"
    for mark, endpoint in (
        ("/v7/finance/quote", Endpoint.QUOTE),
        ("/v8/finance/chart/", Endpoint.CHART),
        ("/v1/test/getcrumb", Endpoint.CRUMB),
        ("fc.yahoo.com", Endpoint.COOKIE),
        ("guce.yahoo.com", Endpoint.COOKIE),
        ("consent.yahoo.com", Endpoint.COOKIE),
    ):
        if mark in where:
            return endpoint
    return Endpoint.OTHER


def verdict(
    endpoint: Endpoint, *, status: int, headers: Mapping[str, str], body: bytes, now: datetime
) -> MarketDataError | None:
    """Return why the answer is of no use, or None where it can be read.

    `headers` has lower-case names. The cookie page answers 404 or 502 on good days and is judged
    by 429 alone; a chart's 404 names an unknown symbol and is an answer.
    """
    after = retry_after(headers, now)
    error: MarketDataError | None = None
    if status == 429 or _TOO_MANY in body[:512].lower():
        error = RateLimited(f"Yahoo limits {endpoint} requests", retry_after=after)
    elif endpoint is Endpoint.COOKIE or (endpoint is Endpoint.CHART and status == 404 and not _page(body)):
        error = None
    elif status in {401, 403, 999} or 300 <= status < 400:
        error = Blocked(f"Yahoo refuses {endpoint} requests with status {status}", retry_after=after)
    elif status >= 500 or _BACK_SOON in body[:4096].lower():
        error = UpstreamUnavailable(f"Yahoo failed with status {status}", retry_after=after)
    elif status >= 400:
        error = BadResponse(f"Yahoo answered {endpoint} with status {status}")
    elif _page(body) or (endpoint is Endpoint.CRUMB and not _is_crumb(body)):
        error = Blocked(f"Yahoo answered {endpoint} with something else")
    return error


def _page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _is_crumb(body: bytes) -> bool:
    text = body.strip()
    return 0 < len(text) <= _LONGEST_CRUMB and not any(mark in text for mark in (b" ", b"<", b"{"))
