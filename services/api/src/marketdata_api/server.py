"""The HTTP server: uvicorn on uvloop and httptools, with the limits it leaves to its user.

httptools bounds neither the size of a request's head nor the time it may take to arrive; the
protocol here does. SIGTERM lets requests under way end, within the grace period, and then the
process ends with 0.
"""

import asyncio
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from marketdata.telemetry import logs
from marketdata.telemetry.health import Heartbeats

MAX_HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75  # above the 60 s of common load balancers, so that they close first
BACKLOG = 2_048

_log = logs.get("server")


class BoundedProtocol(HttpToolsProtocol):
    """Cuts off who sends an endless or a dripping head."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Covers a connection that never sends anything, too.
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head:
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """uvicorn's server, beating, and ending with 0 after a signal."""

    def __init__(self, config: uvicorn.Config, heartbeats: Heartbeats) -> None:
        super().__init__(config)
        self._heartbeats = heartbeats

    async def on_tick(self, counter: int) -> bool:
        self._heartbeats.beat("http")
        return await super().on_tick(counter)

    def end_soon(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's arguments
        """End as soon as it runs, whichever signal asks for it."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        _log.info("stopping", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def serve(
    app: ASGIApp,
    listener: socket.socket,
    heartbeats: Heartbeats,
    *,
    max_concurrency: int,
    shutdown_seconds: int,
) -> None:
    """Serve until SIGTERM or SIGINT; returns when all requests have ended or the grace period has."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        interface="asgi3",  # told, not guessed: the edge returns a coroutine and is none
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=max_concurrency,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
        proxy_headers=False,
    )
    server = Server(config, heartbeats)
    # uvicorn hears a signal from when its event loop runs, and raises it again when it is done, for
    # whoever started it; here that is nobody. One that comes before must not be lost.
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, server.end_soon)
    server.run(sockets=[listener])
