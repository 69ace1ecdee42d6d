"""One connection to Redis for an event loop: commands out, replies in, in order.

redis.asyncio spends most of a GET's time in streams, locks and its pool; that is paid once per
turn of the event loop and shows in the latency of every request. Here a command is one write and
a reply one callback. hiredis packs and parses; redis-py reads the address.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

from marketdata.errors import Misconfigured

Reply = bytes | int | list[Any] | None


class Connection(asyncio.Protocol):
    """A connection that was opened by `connect`."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._transport: asyncio.WriteTransport | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *command: bytes | str | int) -> "asyncio.Future[Reply]":
        """Send a command; its reply comes, or ConnectionError, or what Redis refused it with."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            reply.set_exception(ConnectionResetError("the connection is closed"))
            return reply
        self._waiting.append(reply)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # the stub: of one
        return reply

    def abort(self) -> None:
        """Cut the connection at once; whoever waits hears it. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while self._waiting:
                reply = self._reader.gets()
                if reply is False:
                    return
                waiting = self._waiting.popleft()
                if waiting.done():
                    continue
                if isinstance(reply, hiredis.HiredisError):
                    waiting.set_exception(reply)
                else:
                    waiting.set_result(reply)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(exc or ConnectionResetError("the connection was closed"))


async def connect(url: str, *, secret: str | None) -> Connection:
    """Return a connection that is authenticated and has its database selected.

    `secret` stands in for a password that the URL does not carry. Raises OSError, ssl.SSLError and
    hiredis.HiredisError.
    """
    address: Mapping[str, Any] = parse_url(url)
    loop = asyncio.get_running_loop()
    if "path" in address:
        _, connection = await loop.create_unix_connection(Connection, address["path"])
    else:
        _, connection = await loop.create_connection(
            Connection,
            address.get("host", "localhost"),
            address.get("port", 6379),
            ssl=_tls(address) if address.get("connection_class") is SSLConnection else None,
        )
    try:
        password = address.get("password") or secret
        if password is not None:
            user = (address["username"],) if address.get("username") else ()
            await connection.send("AUTH", *user, password)
        if address.get("db"):
            await connection.send("SELECT", int(address["db"]))
    except BaseException:
        connection.abort()
        raise
    return connection


def check_address(url: str) -> None:
    """Raise Misconfigured where redis-py, or TLS, cannot use a value that the address gives."""
    try:
        address: Mapping[str, Any] = parse_url(url)
        if address.get("protocol", 2) not in {2, 3}:
            raise ValueError("'protocol' is 2 or 3")
        if address.get("connection_class") is SSLConnection:
            _tls(address)
    except (ValueError, OSError, RedisError) as error:
        raise Misconfigured(f"REDIS_URL has a parameter whose value cannot be used: {error}") from None


def _tls(address: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what redis-py makes of the address, so that both clients trust the same servers."""
    given = {name: value for name, value in address.items() if name.startswith("ssl_")}
    return SSLConnection(**given).ssl_context.get()
