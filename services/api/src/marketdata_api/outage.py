"""Whether a dependency is away, found out once and not by every request.

The first failure opens the outage, or first asks for a probe where it may have another cause. From
then on callers are told at once, and one probe in the background, at growing intervals, finds out
when it is over. So an outage costs those requests one timeout that were under way when it began,
and nobody afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable

from marketdata.errors import Transient
from marketdata.telemetry import logs

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

_log = logs.get("outage")


class Outage:
    """The state of one dependency, as seen from this process."""

    def __init__(
        self, name: str, *, probe: Callable[[], Awaitable[None]], tell: Callable[[float], None]
    ) -> None:
        """Take `probe`, which raises Transient while it is away, and `tell`, which hears 1 then, 0 after."""
        self._name = name
        self._probe = probe
        self._tell = tell
        self._watch: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def on(self) -> bool:
        """Tell whether the dependency is known to be away."""
        return self._watch is not None

    def begin(self, error: Transient) -> None:
        """Note a failure; idempotent while the outage lasts."""
        if self._watch is not None or self._closed.is_set():
            return
        _log.warning("dependency away", dependency=self._name, reason=error.reason)
        self._tell(1)
        self._watch = asyncio.get_running_loop().create_task(self._until_back())

    async def doubt(self) -> None:
        """Find out whether it is away, once for all who doubt meanwhile; return when that is known."""
        if self.on or self._closed.is_set():
            return
        if self._look is None:
            self._look = asyncio.get_running_loop().create_task(self._look_once())
        await asyncio.shield(self._look)

    async def close(self) -> None:
        """Stop probing; idempotent."""
        self._closed.set()
        if self._look is not None:
            await self._look
        if self._watch is not None:
            await self._watch

    async def _look_once(self) -> None:
        try:
            await self._probe()
        except Transient as error:
            self.begin(error)
        finally:
            self._look = None

    async def _until_back(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while not await self._closed_within(pause):
                try:
                    await self._probe()
                except Transient:
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                else:
                    _log.info("dependency back", dependency=self._name)
                    self._tell(0)
                    return
        finally:
            self._watch = None

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True
