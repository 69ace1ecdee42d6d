"""The one session under yfinance: every upstream request of the provider passes here.

yfinance sends requests nobody asked for: cookies, crumbs, consent forms and second tries. As it
is handed this session they all meet the same rules:

- the gate is asked before each, and told how each went;
- what is left of the fetch's deadline bounds each as a whole, and a size bounds its body;
- redirects stay within yahoo.com;
- the exact bytes are recorded, without cookies and crumbs;
- a refusal ends the call at once, so that yfinance has no occasion to send its second and third try
  at a 429 or to keep an apology as its crumb.

With a base URL, `https://HOST/path` is sent to `BASE_URL/HOST/path`: how a stand-in is reached.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

from curl_cffi import requests as curl
from yfinance.exceptions import YFRateLimitError

from marketdata.clock import Clock
from marketdata.domain.answer import RawResponse
from marketdata.errors import MarketDataError
from marketdata.identifiers import uuid7
from marketdata_poller.ports import RequestGate
from marketdata_poller.providers.bounded import BoundedSession
from marketdata_poller.providers.yfinance.reading import read_or_refuse
from marketdata_poller.providers.yfinance.verdicts import Endpoint, endpoint_of

NAME = "yfinance"
_MOST_REDIRECTS = 4
_LOGIN = frozenset({Endpoint.COOKIE, Endpoint.CRUMB})
_DATA = frozenset({Endpoint.QUOTE, Endpoint.CHART})
_KEPT_HEADERS = frozenset(
    {
        "age",
        "cache-control",
        "content-type",
        "date",
        "last-modified",
        "retry-after",
        "x-yahoo-request-id",
        "y-rid",
    }
)
_CRUMB = re.compile(r"([?&]crumb=)[^&]*")


class CallEnded(Exception):
    """Unwinds yfinance from inside a request; `error` is None where all is well and an answer is in."""

    def __init__(self, error: MarketDataError | None) -> None:
        super().__init__(str(error))
        self.error = error


class SessionExpired(CallEnded):
    """Cookie or crumb are not accepted any more; worth one try with new ones."""


@dataclass(slots=True)
class Call:
    """One fetch: whose gate, until when, what is being asked now, and what came back."""

    gate: RequestGate
    deadline: float  # on the clock's monotonic scale
    seconds: float
    symbols: Sequence[str] = ()
    crumb_needed: bool = True
    may_renew: bool = True  # the next 401 means that cookie or crumb are old, not that we are refused
    login_refused: bool = False
    raws: list[RawResponse] = field(default_factory=list)


class GuardedSession(BoundedSession):
    """A curl_cffi session that only works during a `Call`; one for the process."""

    def __init__(self, *, upstream: str | None, clock: Clock) -> None:
        """Impersonate a browser as yfinance does; `upstream` is the base URL of a stand-in."""
        super().__init__(impersonate="chrome")
        self._upstream = upstream.rstrip("/") if upstream else None
        self._clock = clock
        self.call: Call | None = None

    def request(self, method: str, url: str, **options: Any) -> curl.Response:  # type: ignore[override]
        """Send what yfinance asks for, under the rules above.

        Raises CallEnded, or what yfinance takes for a degraded login where a chart does without.
        """
        call = self.call
        if call is None:
            message = "yfinance sent a request outside a fetch"
            raise RuntimeError(message)
        response = self._exchange(call, method, url, options)
        for _ in range(_MOST_REDIRECTS):
            target = _redirected_to(response, url)
            if target is None:
                break
            url = target
            response = self._exchange(call, "GET", url, {})
        # yfinance recognises a consent page by the address it would have come from.
        response.url = url
        return response

    def _exchange(self, call: Call, method: str, url: str, options: Mapping[str, Any]) -> curl.Response:
        endpoint = endpoint_of(url)
        if endpoint in _LOGIN and call.login_refused:
            raise YFRateLimitError
        try:
            # 1. A token is taken. Dying here wastes it.
            call.gate.take(endpoint)
            # 2. The request is sent and answered. Dying here loses the answer; nothing rests on it.
            response = self._sent(call, endpoint, method, url, options)
            # 3. The answer is recorded in memory and the gate hears of it.
            self._record(call, endpoint, url, response)
        except MarketDataError as error:
            call.login_refused |= endpoint in _LOGIN
            if endpoint in _LOGIN and not call.crumb_needed:
                # What makes yfinance go on without a crumb, which a chart does not need.
                raise YFRateLimitError from error
            raise CallEnded(error) from error
        if response.status_code >= 400 and endpoint in _DATA:
            raise CallEnded(None)  # a chart's "not found": an answer, to which yfinance would try again
        return response

    def _sent(
        self, call: Call, endpoint: Endpoint, method: str, url: str, options: Mapping[str, Any]
    ) -> curl.Response:
        seconds = call.deadline - self._clock.monotonic()
        if endpoint in _LOGIN:
            # So that an unreachable cookie host (ad blocks) leaves time for the data.
            seconds = min(seconds, call.seconds / 3)
        if self._upstream:
            headers = dict(options.get("headers") or {}) | self._cookie_header(url)
            options = dict(options) | {"headers": headers}
        try:
            response = self.send(method, self._address(url), seconds=seconds, what=endpoint, options=options)
        except MarketDataError as error:
            call.gate.failed(endpoint, error)
            raise
        if self._upstream:
            self._keep_cookies(url, response)
        if endpoint is Endpoint.COOKIE:
            call.may_renew = False  # it cannot get any newer
        return response

    def _record(self, call: Call, endpoint: Endpoint, url: str, response: curl.Response) -> None:
        """Keep what data requests answered, and of logins what refuses them: the rest is secret."""
        raw = self._raw(call.symbols, response)
        if _redirected_to(response, url) is not None:
            call.gate.succeeded(endpoint)
            return
        try:
            read_or_refuse(raw, endpoint)
        except MarketDataError as refusal:
            if response.status_code == 401 and call.may_renew and call.crumb_needed:
                # Recorded as asked for nobody: it says nothing of the symbols.
                call.raws.append(self._raw((), response))
                call.gate.succeeded(endpoint)
                raise SessionExpired(refusal) from refusal
            call.raws.append(raw)
            call.gate.failed(endpoint, refusal)
            raise
        if endpoint in _DATA:
            call.raws.append(raw)
        call.gate.succeeded(endpoint)

    def _raw(self, symbols: Sequence[str], response: curl.Response) -> RawResponse:
        fetched_at = self._clock.now()
        return RawResponse(
            raw_response_id=uuid7(fetched_at),
            provider=NAME,
            url=_CRUMB.sub(r"\1REDACTED", response.url),
            status=response.status_code,
            headers={
                name.lower(): value or ""
                for name, value in response.headers.items()
                if name.lower() in _KEPT_HEADERS
            },
            body=response.content,
            symbols=tuple(symbols),
            fetched_at=fetched_at,
        )

    def _address(self, url: str) -> str:
        if self._upstream is None:
            return url
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._upstream}/{parts.netloc}{parts.path or '/'}{query}"

    # A stand-in's cookies carry Yahoo's domain and come from another: curl would neither keep nor
    # send them, and yfinance would fetch a cookie before every request.

    def _cookie_header(self, url: str) -> dict[str, str]:
        request = Request(url)  # noqa: S310 - never opened, it only asks the jar
        self._jar().add_cookie_header(request)
        cookies = request.get_header("Cookie")
        return {"Cookie": cookies} if cookies else {}

    def _keep_cookies(self, url: str, response: curl.Response) -> None:
        headers = Message()
        for value in response.headers.get_list("set-cookie"):
            if value:
                headers["Set-Cookie"] = value
        self._jar().extract_cookies(cast("Any", _Headed(headers)), Request(url))  # noqa: S310 - never opened

    def _jar(self) -> CookieJar:
        return self.cookies.jar


@dataclass(frozen=True, slots=True)
class _Headed:
    """What a cookie jar looks at of a response."""

    headers: Message

    def info(self) -> Message:
        return self.headers


def _redirected_to(response: curl.Response, url: str) -> str | None:
    """Return where `response` leads, if that is still Yahoo."""
    location = response.headers.get("location")
    if not 300 <= response.status_code < 400 or not location:
        return None
    target = urljoin(url, location)
    parts = urlsplit(target)
    within = parts.hostname is not None and f".{parts.hostname}".endswith(".yahoo.com")
    return target if parts.scheme == "https" and within and parts.port in {None, 443} else None
