"""What the cache makes of keys that are not its own."""

import asyncio

import redis
from pydantic import SecretStr

from marketdata.cache.latest import RedisLatestPrices
from marketdata.cache.reader import RedisLatestReader, latest_key
from marketdata.messages.latest import render
from marketdata.settings import RedisSettings
from support.builders import a_price

SYMBOLS = ("AAPL", "GOOG", "MSFT")


def test_a_key_of_another_type_is_missing_to_readers_and_overwritten_and_those_behind_it_are_written(
    redis_url: str,
) -> None:
    settings = RedisSettings(url=SecretStr(redis_url))
    points = [a_price(symbol=symbol) for symbol in SYMBOLS]
    keys = [latest_key(symbol, provider) for symbol in SYMBOLS for provider in ("synthetic", None)]
    cache = RedisLatestPrices(settings)
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(keys[0].decode(), "a", "list")
        client.hset(keys[3].decode(), "a", "hash")
        assert asyncio.run(read_after_filling(settings, keys, b"filled")) == [
            None,
            b"filled",
            b"filled",
            None,
            b"filled",
            b"filled",
        ]
        client.delete(*(key for at, key in enumerate(keys) if at not in {0, 3}))

        assert cache.write(points) == len(keys)

        assert client.mget(keys) == [render(point) for point in points for _ in range(2)]
        assert all(0 < client.ttl(key) <= settings.ttl_seconds for key in keys)
    cache.close()


async def read_after_filling(settings: RedisSettings, keys: list[bytes], value: bytes) -> list[bytes | None]:
    reader = RedisLatestReader(settings, timeout_seconds=30)
    try:
        await reader.fill(dict.fromkeys(keys, value))
        return await reader.get_many(keys)
    finally:
        await reader.close()
