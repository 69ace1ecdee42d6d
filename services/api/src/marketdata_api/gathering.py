"""Many questions, one fetch.

Whatever is asked during one turn of the event loop, or while a fetch is under way, is answered by
the next single fetch: one MGET or one SELECT serves every request that is waiting. Under load
the batches grow by themselves; alone, a question waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# One fetch must stay short, or a single slow one would hold up everyone who came after it.
_MOST_KEYS = 1_000


class Gathering(Generic[Key, Value]):
    """Answers `ask` through `fetch`, one fetch at a time."""

    def __init__(self, fetch: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        """`fetch` gets each key once; a key it leaves out has no value; what it raises, all askers get."""
        self._fetch = fetch
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def ask(self, key: Key) -> "asyncio.Future[Value | None]":
        """Return the value of `key` to come, None where it has none."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Value | None] = loop.create_future()
        askers = self._waiting.get(key)
        if askers is None:
            self._waiting[key] = [answer]
            if self._task is None:
                self._task = loop.create_task(self._serve())
        else:
            askers.append(answer)
        return answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._one()
        finally:
            self._task = None

    async def _one(self) -> None:
        if len(self._waiting) <= _MOST_KEYS:
            batch, self._waiting = self._waiting, {}
        else:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:_MOST_KEYS]}
        try:
            found = await self._fetch(list(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who asked must hear it
            for askers in batch.values():
                for answer in askers:
                    if not answer.done():
                        answer.set_exception(error)
        else:
            for key, askers in batch.items():
                value = found.get(key)
                for answer in askers:
                    if not answer.done():
                        answer.set_result(value)
