"""A span for each request, around the whole application and only where traces are on.

It goes on the caller's trace where there is a valid traceparent, and obeys its sampling; else it
begins one. The id of a request that brought no id is its trace's, so a problem document, a log line
and a span of one request are found by the same text.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketdata.telemetry.traces import Span, Traces, within
from marketdata_api.edge import ON_ROUTE
from marketdata_api.telemetry import LATEST_ROUTE, method_label

_SERVER_ERROR = 500


def traced(app: ASGIApp, traces: Traces) -> ASGIApp:
    """Return `app` itself where traces are off, so that they cost nothing then."""
    if not traces.on:
        return app

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = _traceparent(scope)
        method = method_label(scope["method"])
        span = traces.begin(f"{method} {LATEST_ROUTE}", kind="server", parent=given)
        span.tell({"http.request.method": method, "http.route": LATEST_ROUTE})

        def on_route(route: str) -> None:
            span.name(f"{method} {route}")
            span.tell({"http.route": route})

        told = dict(scope)
        told[ON_ROUTE] = on_route
        if span.trace_id is not None and (given is None or span.trace_id not in given):
            told["headers"] = [*scope["headers"], (b"traceparent", _request_place(span.trace_id))]
        with within(span):
            await app(told, receive, _watching(send, span))

    return answer


def _watching(send: Send, span: Span) -> Send:
    async def watch(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            span.tell({"http.response.status_code": status})
            for name, value in message["headers"]:
                if name == b"x-cache":
                    span.tell(source=value.decode("ascii", "replace"))
            if status >= _SERVER_ERROR:
                span.fail(str(status))
        await send(message)

    return watch


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            text: str = value.decode("ascii", "replace")
            return text
    return None


def _request_place(trace_id: str) -> bytes:
    """Return a traceparent that the edge takes the request's id from; nothing is recorded under it."""
    return f"00-{trace_id}-{1:016x}-00".encode()
