"""Reading the cache: many keys in one MGET, and filling what was missing.

The read side never overwrites: a fill is SET NX, so what a consumer wrote meanwhile stands. Each
call has one deadline for everything it does, connecting included, and every failure is
CacheUnavailable: whoever asks goes to Postgres instead.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import hiredis

from marketdata.cache.connection import Connection, check_address, connect
from marketdata.domain.symbol import ANY_PROVIDER
from marketdata.errors import CacheUnavailable
from marketdata.settings import RedisSettings

Result = TypeVar("Result")


def latest_key(symbol: str, provider: str | None) -> bytes:
    """Return the key of the series' latest price; without a provider, of the newest of any."""
    return f"latest_price_{symbol}_{provider or ANY_PROVIDER}".encode()


class RedisLatestReader:
    """Latest prices as the cache holds them: rendered bytes, ready to be sent."""

    def __init__(self, settings: RedisSettings, *, timeout_seconds: float) -> None:
        """Connect to nothing yet: the first call does. `timeout_seconds` bounds each call.

        Raises Misconfigured for an address that can never be used.
        """
        check_address(settings.location())
        self._settings = settings
        self._timeout = timeout_seconds
        self._ttl = settings.ttl_seconds
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key in order, None where there is none; idempotent."""

        async def ask(connection: Connection) -> list[bytes | None]:
            values = await connection.send(b"MGET", *keys)
            if not isinstance(values, list) or len(values) != len(keys):
                raise CacheUnavailable("the cache answered something else than was asked")
            return values

        return await self._bounded(ask)

    async def fill(self, entries: Mapping[bytes, bytes]) -> None:
        """Store each entry for the cache's time to live unless its key exists; idempotent."""

        async def store(connection: Connection) -> None:
            replies = [
                connection.send(b"SET", key, value, b"NX", b"EX", self._ttl) for key, value in entries.items()
            ]
            await asyncio.gather(*replies)

        await self._bounded(store)

    async def ping(self) -> None:
        """Return if the cache answers."""

        async def ask(connection: Connection) -> None:
            await connection.send(b"PING")

        await self._bounded(ask)

    async def close(self) -> None:
        """Let go of the connection; idempotent."""
        if self._connection is not None:
            self._connection.abort()

    async def _bounded(self, call: Callable[[Connection], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(self._timeout):
                return await call(await self._connected())
        except (OSError, TimeoutError, hiredis.HiredisError) as error:
            # Replies are told apart by their order alone, so a connection that owes one is of no use.
            if isinstance(error, TimeoutError) and self._connection is not None:
                self._connection.abort()
            raise CacheUnavailable from error

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                settings = self._settings
                self._connection = await connect(settings.location(), secret=settings.secret())
            return self._connection
