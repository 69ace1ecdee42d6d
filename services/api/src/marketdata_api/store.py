"""Calls to Postgres from the event loop: bounded, timed, and refused at once during an outage.

As many threads as the pool has connections, so a call that runs never waits for a connection; a
call that cannot start or end within its deadline is StoreUnavailable. One slow query is no outage,
nor is a refused write, so they only ask for a probe; a lost connection begins one at once. A thread
whose server went silent (a stopped Postgres still acknowledges) is left behind until its connection
gives up: the outage that begins when the probe fails too keeps others from joining it. What is left
behind may not commit, so a call that was given up did nothing, unless it was at its commit already.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import anyio
import anyio.to_thread

from marketdata.errors import StoreRefused, StoreTimeout, StoreUnavailable
from marketdata.storage.engine import Consent
from marketdata_api.outage import Outage

Result = TypeVar("Result")

# A ping is answered in milliseconds, also over a connection that must be opened first.
_PROBE_SECONDS = 1.0

RETRY_AFTER = timedelta(seconds=2)


class EffectUnknown(StoreUnavailable):
    """The call was at its commit when it was given up or lost: it may have been done."""


class _Late(StoreTimeout):
    """The deadline passed, and the call may still be under way."""


class StoreCalls:
    """Runs blocking store methods in threads."""

    def __init__(
        self,
        *,
        threads: int,
        deadline_seconds: float,
        ping: Callable[[], None],
        tell: Callable[[float], None],
    ) -> None:
        """`ping` is the blocking probe that ends an outage; `tell` hears when one begins and ends."""
        self._threads = threads
        self._deadline = deadline_seconds
        self._ping = ping
        self._limiter: anyio.CapacityLimiter | None = None
        self._probe_limiter: anyio.CapacityLimiter | None = None
        self.outage = Outage("postgres", probe=self._probe, tell=tell)

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns. Raises what it raises, and StoreUnavailable.

        That is EffectUnknown where the call may have taken effect; else it did not and will not.
        """
        if self.outage.on:
            raise StoreUnavailable("the database cannot be reached", retry_after=RETRY_AFTER)
        if self._limiter is None:  # it belongs to a running event loop
            self._limiter = anyio.CapacityLimiter(self._threads)
        consent = Consent()
        try:
            return await self._within(self._deadline, self._limiter, lambda: consent.run(call))
        except (StoreTimeout, StoreRefused) as error:
            # Where the server says that it gave up, nothing was done, at the commit neither.
            undone = consent.withdraw() or not isinstance(error, _Late)
            await self.outage.doubt()
            raise _told(error, undone=undone) from error
        except StoreUnavailable as error:
            self.outage.begin(error)
            raise _told(error, undone=consent.withdraw()) from error

    async def _probe(self) -> None:
        if self._probe_limiter is None:  # a thread of its own: the others may all be at slow queries
            self._probe_limiter = anyio.CapacityLimiter(1)
        await self._within(min(self._deadline, _PROBE_SECONDS), self._probe_limiter, self._ping)

    async def _within(
        self, seconds: float, limiter: anyio.CapacityLimiter, call: Callable[[], Result]
    ) -> Result:
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        except TimeoutError:
            raise _Late("the database did not answer in time") from None


def _told(error: StoreUnavailable, *, undone: bool) -> StoreUnavailable:
    return (StoreUnavailable if undone else EffectUnknown)(str(error), retry_after=RETRY_AFTER)
