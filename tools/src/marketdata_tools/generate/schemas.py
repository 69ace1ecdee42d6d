"""The API's OpenAPI document and the message's JSON schema."""

import asyncio
import json
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message

from marketdata.clock import SystemClock
from marketdata.domain.symbol import (
    PROVIDER_MAX_LENGTH,
    PROVIDER_PATTERN,
    SYMBOL_MAX_LENGTH,
    SYMBOL_PATTERN,
)
from marketdata.messages.price_event import PriceEvent
from marketdata_api.app import create_app
from marketdata_api.settings import read
from marketdata_api.wiring import wire

# Nothing connects to these: the application is made, and asked for its document.
_NOWHERE = {
    "DATABASE_URL": "postgresql://localhost/none",
    "REDIS_URL": "redis://localhost/0",
    "MARKETDATA_METRICS_HOST": "127.0.0.1",
    "MARKETDATA_METRICS_PORT": "0",
}


def openapi() -> str:
    """Return the document exactly as the API serves it, laid out to be read and compared."""
    wired = wire(read(_NOWHERE), SystemClock())
    wired.health.start()
    try:
        body = asyncio.run(_get(create_app(wired.dependencies), "/openapi.json"))
    finally:
        wired.health.stop()
    return _laid_out(json.loads(body))


def price_event() -> str:
    """Return the schema of the message, with what its reader checks beyond the types."""
    schema = msgspec.json.schema(PriceEvent)
    fields = schema["$defs"]["PriceEvent"]["properties"]
    fields["symbol"] |= {"pattern": SYMBOL_PATTERN, "maxLength": SYMBOL_MAX_LENGTH}
    fields["source"] |= {"pattern": PROVIDER_PATTERN, "maxLength": PROVIDER_MAX_LENGTH}
    fields["price"] = {"type": "number"}
    fields["timestamp"] |= {"format": "date-time"}
    return _laid_out({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def _laid_out(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


async def _get(app: ASGIApp, path: str) -> bytes:
    """Return the body that the application answers to a GET, without a server."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return bytes(body)
