"""The HTTP server: uvicorn on uvloop and httptools, with the limits of `connection` on each client.

How many requests are in work is the edge's to bound, for it can say so to a client. SIGTERM lets
requests under way end, within the grace period, and then the process ends with 0.
"""

import resource
import signal
import socket
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from marketdata.telemetry import logs
from marketdata.telemetry.health import Heartbeats
from marketdata_api.connection import BoundedProtocol, ConnectionLimits, Crowd

BACKLOG = 2_048
# Of sockets to the stores and of what is read from disk, beside the connections.
_FILES_BESIDE = 256

_log = logs.get("server")


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
    limits: ConnectionLimits,
    shutdown_seconds: int,
) -> None:
    """Serve until SIGTERM or SIGINT; returns when all requests have ended or the grace period has."""
    _allow_files(limits.max_connections + _FILES_BESIDE)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        # A class by its annotation; what it is used for is to be called.
        http=cast("Any", partial(BoundedProtocol, limits=limits, crowd=Crowd())),
        ws="none",
        interface="asgi3",  # told, not guessed: the edge returns a coroutine and is none
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=shutdown_seconds,
        proxy_headers=False,
    )
    server = Server(config, heartbeats)
    # uvicorn hears a signal from when its event loop runs, and raises it again when it is done, for
    # whoever started it; here that is nobody. One that comes before must not be lost.
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, server.end_soon)
    server.run(sockets=[listener])


def _allow_files(wanted: int) -> None:
    """Let the process have so many open; many systems begin with 1,024, far below what they allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("fewer files than connections", wanted=wanted, allowed=allowed)
