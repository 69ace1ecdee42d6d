"""Ready once started and once the schema was seen, and from then on for good.

All replicas share their dependencies: if one that is away made them unready, all would leave the
load balancer at once, and with them the cached prices that could still be served.
"""

import asyncio
from collections.abc import Callable

from marketdata.errors import SchemaMismatch, StoreUnavailable
from marketdata.telemetry import logs
from marketdata_api.store import StoreCalls

_PAUSE_SECONDS = 0.5

_log = logs.get("readiness")


class Readiness:
    """Whether this process should be sent requests."""

    def __init__(self, *, check: Callable[[], None], store: StoreCalls) -> None:
        """`check` blocks, and raises SchemaMismatch or StoreUnavailable while the schema is not seen."""
        self._check = check
        self._store = store
        self._why: str | None = "starting"
        self._closed = asyncio.Event()
        self._stopping = False

    def why_not(self) -> str | None:
        """Return None if ready, else one sentence."""
        return "stopping" if self._stopping else self._why

    def stop(self) -> None:
        """Be unready from now on: the process ends."""
        self._stopping = True
        self._closed.set()

    async def watch(self) -> None:
        """Return when the schema has been seen, or at `stop`."""
        while not self._closed.is_set():
            try:
                await self._store.run(self._check)
            except (SchemaMismatch, StoreUnavailable) as error:
                if str(error) != self._why:
                    _log.warning("not ready", why=str(error))
                self._why = str(error)
            else:
                self._why = None
                _log.info("ready")
                return
            try:
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._closed.wait()
            except TimeoutError:
                continue
