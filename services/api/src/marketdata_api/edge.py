"""The outermost layer: what holds for every request, and the short way for the busiest one.

Every answer carries X-Request-Id and is counted. So many requests are in work at once, and more are
refused; health is told whatever happens. A body is read whole before any route sees it, within a
limit of size and time. HEAD is GET without its body, OPTIONS says what is allowed, and
everything is served under /v1 too. GET /prices/latest goes from here straight to its bytes.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketdata.clock import Clock
from marketdata.telemetry import logs
from marketdata_api import problems
from marketdata_api.keys import KeyRing
from marketdata_api.latest import Headers, LatestPrices
from marketdata_api.problems import Problem
from marketdata_api.telemetry import LATEST_ROUTE, ApiMetrics

VERSION_PREFIX = "/v1"
MAX_ADDRESS_BYTES = 32_768  # 500 symbols of 32 characters in a query, and half as much again
ON_ROUTE = "marketdata.on_route"  # in a scope: is told the template of the route

_LATEST_PATHS = frozenset({LATEST_ROUTE, VERSION_PREFIX + LATEST_ROUTE})
# Who asks these would end a process that is only busy, or send the others what it refuses.
_HEALTH_PATHS = frozenset(
    prefix + path for prefix in ("", VERSION_PREFIX) for path in ("/healthz", "/readyz")
)
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_NOTED_HEADERS = _BODY_HEADERS | {b"x-request-id", b"traceparent"}
_request_id = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_traceparent = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logs.get("edge")


class RequestIds:
    """Ids that are unique without asking the system for randomness at each request: 32 hex digits."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(10)
        self._numbers = count(1)

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the client's X-Request-Id, else its trace id, else a new id."""
        traced = None
        for name, value in headers:
            if name == b"x-request-id" and _request_id.fullmatch(value):
                return value
            if name == b"traceparent" and (found := _traceparent.fullmatch(value)):
                traced = found[1]
        return traced or self.new()

    def new(self) -> bytes:
        """Return an id that was not there before."""
        return b"%s%012x" % (self._prefix.encode(), next(self._numbers))


class Edge:
    """The ASGI application that the server runs."""

    def __init__(
        self,
        *,
        app: ASGIApp,
        latest: LatestPrices,
        allowed: Callable[[str], frozenset[str]],
        metrics: ApiMetrics,
        clock: Clock,
        max_in_work: int,
        max_body_bytes: int,
        body_seconds: float,
        keys: KeyRing | None,
    ) -> None:
        """Take `allowed`, which names the methods of a path, none for a path that is not served."""
        self._app = app
        self._latest = latest
        self._allowed = allowed
        self._metrics = metrics
        self._clock = clock
        self._max_in_work = max_in_work
        self._in_work = 0
        self._max_body = max_body_bytes
        self._body_seconds = body_seconds
        self._keys = keys
        self._ids = RequestIds()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: each one in the chain is paid for by every request.
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        if scope["path"] in _LATEST_PATHS and scope["method"] == "GET":
            return self._answer_latest(scope, receive, send)
        return self._answer(scope, receive, send)

    async def _answer_latest(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock.monotonic()
        headers = scope["headers"]
        tag = None
        request_id = None
        has_body = False
        for name, value in headers:
            if name == b"if-none-match":
                tag = value if tag is None else b"%s, %s" % (tag, value)  # one list (RFC 9110, 5.3)
            elif name in _NOTED_HEADERS:
                if name in _BODY_HEADERS:
                    has_body = True
                else:
                    request_id = self._ids.of(headers)
        if request_id is None:
            request_id = self._ids.new()
        self._in_work += 1
        try:
            if self._in_work > self._max_in_work or has_body or self._keys is not None:
                await self._admit_latest(scope, receive, has_body=has_body)
            if len(scope["query_string"]) > MAX_ADDRESS_BYTES:
                raise Problem(problems.URI_TOO_LONG)
            status, fields, body, source = await self._latest.answer(scope["query_string"], tag)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the last place that can answer
            status, fields, body = self._refusal(error, scope, request_id)
        else:
            self._metrics.latest(source)
        finally:
            self._in_work -= 1
        fields.append((b"x-request-id", request_id))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})
        self._metrics.request(LATEST_ROUTE, "GET", status, self._clock.monotonic() - started)

    async def _admit_latest(self, scope: Scope, receive: Receive, *, has_body: bool) -> None:
        """Do what most requests for a latest price can do without; raises Problem."""
        is_over = self._in_work > self._max_in_work
        if has_body:
            await self._body(scope, receive)
        if is_over:
            raise _overloaded()
        if self._keys is not None:
            self._keys.check(scope["headers"], method="GET", path=LATEST_ROUTE)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock.monotonic()
        method = scope["method"]
        request_id = self._ids.of(scope["headers"])
        scope = _unversioned(scope)
        scope["state"]["request_id"] = request_id.decode()
        sent = 0
        ended = False
        counts = scope["path"] not in _HEALTH_PATHS

        def give_back() -> None:
            # Once an answer goes out a slow reader is the connection's to bound.
            nonlocal counts
            self._in_work -= counts
            counts = False

        async def finish(message: Message) -> None:
            nonlocal sent, ended
            if message["type"] == "http.response.start":
                give_back()
                sent = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            else:
                ended = not message.get("more_body", False)
                if method == "HEAD":
                    message["body"] = b""
            await send(message)

        self._in_work += counts
        try:
            await self._admitted(scope, receive, finish, is_over=counts and self._in_work > self._max_in_work)
        except (Exception, asyncio.CancelledError) as error:
            status, fields, body = self._refusal(error, scope, request_id)
            if not sent:
                await finish({"type": "http.response.start", "status": status, "headers": fields})
                await finish({"type": "http.response.body", "body": body})
            elif not ended:
                raise  # half an answer is out: only cutting the connection tells the client
        finally:
            give_back()
        route = getattr(scope.get("route"), "path", "unmatched")
        if (matched := scope.get(ON_ROUTE)) is not None:
            matched(route)
        self._metrics.request(route, method, sent, self._clock.monotonic() - started)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send, *, is_over: bool) -> None:
        path = scope["path"].removeprefix(scope["root_path"])
        if is_over:
            await self._body(scope, receive)
            raise _overloaded()
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_ADDRESS_BYTES:
            raise Problem(problems.URI_TOO_LONG)
        if scope["method"] == "OPTIONS" and (methods := self._allowed(path)):
            allow = ", ".join(sorted(methods)).encode()
            await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow)]})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        # First the body, which is bounded: a client that has not sent it all may lose an answer to a reset.
        # Not for checks of health, which no limit on requests in work holds back.
        body: bytes | None = b"" if scope["path"] in _HEALTH_PATHS else await self._body(scope, receive)
        if self._keys is not None:
            self._keys.check(scope["headers"], method=scope["method"], path=path)

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()  # a disconnect, if anything
            whole, body = body, None
            return {"type": "http.request", "body": whole, "more_body": False}

        await self._app(scope, replay, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._max_body:
            raise self._too_large()
        body = b""
        more = True
        try:
            async with asyncio.timeout(self._body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":  # what came is no request
                        raise Problem(problems.TIMEOUT, headers={"connection": "close"})
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._max_body:
                        raise self._too_large()
        except TimeoutError:
            raise Problem(problems.TIMEOUT, headers={"connection": "close"}) from None
        return body

    def _too_large(self) -> Problem:
        # Closed, because what is left of the body would otherwise have to be read to its end.
        return Problem(
            problems.BODY_TOO_LARGE,
            f"the body is over {self._max_body} bytes",
            headers={"connection": "close"},
        )

    def _refusal(self, error: BaseException, scope: Scope, request_id: bytes) -> tuple[int, Headers, bytes]:
        # The server cancels what is under way only when the grace period of a stop is over.
        stopping = isinstance(error, asyncio.CancelledError)
        problem = Problem(problems.STOPPING) if stopping else problems.of(error)
        if problem.kind is problems.INTERNAL:
            _log.error(
                "request failed", request_id=request_id.decode(), path=scope["path"][:200], exc_info=error
            )
        rendered = problems.render(problem, instance=instance(scope), trace_id=request_id.decode())
        fields = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in rendered.headers.items()
        ]
        fields.append((b"content-length", b"%d" % len(rendered.body)))
        return rendered.status, fields, rendered.body


def _overloaded() -> Problem:
    return Problem(problems.OVERLOADED, retry_after=timedelta(seconds=1))


def instance(scope: Scope) -> str:
    """Return the path and query as they were sent."""
    query = scope["query_string"].decode("latin-1")
    path: str = scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _unversioned(scope: Scope) -> Scope:
    """Return a scope that may be changed, in which /v1 is where the application is mounted."""
    mine = dict(scope)
    mine["state"] = dict(scope.get("state", {}))
    if mine["path"].startswith(VERSION_PREFIX + "/"):
        mine["root_path"] = VERSION_PREFIX
    return mine
