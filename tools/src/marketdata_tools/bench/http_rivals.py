"""What the API is measured against, on the API's own server with the API's own settings.

`plain`     the route as one writes it first: FastAPI, one redis.asyncio GET, the dict returned.
`constant`  the least an ASGI application can do: the same bytes and headers for every request.

`python -m marketdata_tools.bench.http_rivals plain|constant PORT REDIS_URL`
"""

import json
import sys
from typing import Any

from fastapi import FastAPI, HTTPException
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from marketdata.clock import SystemClock
from marketdata.telemetry.health import Heartbeats
from marketdata_api import server
from marketdata_api.connection import ConnectionLimits

_BODY = (
    b'{"timestamp":"2026-11-22T18:55:00.000000Z","fetched_at":"2026-11-22T18:55:01.000000Z",'
    b'"raw_response_id":"01a204c2-a59e-79b9-b31d-72c25775818a","symbol":"AAPL","provider":"synthetic",'
    b'"price":231.5,"currency":"USD","market_state":"REGULAR","delayed_by":0,"stale_after_seconds":190,'
    b'"age_seconds":12.345,"stale":false}'
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"etag", b'W/"4d1b2a6e5f0c9d8b7a6f5e4d-0"'),
        (b"last-modified", b"Sun, 22 Nov 2026 18:55:01 GMT"),
        (b"cache-control", b"private, max-age=12"),
        (b"x-cache", b"HIT"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BODY)),
        (b"x-request-id", b"ce3b57d35ec53ec4d4cc000000000002"),
    ],
}
_LIMITS = ConnectionLimits(max_connections=4_096, receive_seconds=10, send_seconds=10, keep_alive_seconds=75)
_END = {"type": "http.response.body", "body": _BODY}


def plain(redis_url: str) -> FastAPI:
    """Return the plain application."""
    app = FastAPI()
    redis = Redis.from_url(redis_url)

    @app.get("/prices/latest")
    async def latest(symbol: str, provider: str | None = None) -> dict[str, Any]:
        value = await redis.get(f"latest_price_{symbol}_{provider}")
        if value is None:
            raise HTTPException(404, "Price point not found")
        answer: dict[str, Any] = json.loads(value)
        return answer

    return app


async def constant(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything with the same bytes."""
    if scope["type"] == "http":
        await send(_START)
        await send(_END)
        return
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


def main(name: str, port: int, redis_url: str) -> None:
    """Serve one rival until SIGTERM."""
    app: ASGIApp = plain(redis_url) if name == "plain" else constant
    heartbeats = Heartbeats(SystemClock(), limit_seconds=30)
    listener = server.listen("127.0.0.1", port)
    server.serve(app, listener, heartbeats, limits=_LIMITS, shutdown_seconds=5)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
