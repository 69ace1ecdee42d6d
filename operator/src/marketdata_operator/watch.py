"""The fast way from a changed object to the board: kopf's watch, in a thread of its own.

Only `on.event` is used: it stores nothing in the objects, adds no finalizer, starts no task for an
object. Whatever ends the watch (rights cut, an API server of another kind) is waited out and tried
again; meanwhile the sweeps go on.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import kopf

from marketdata.clock import Clock
from marketdata.errors import MarketDataError
from marketdata.telemetry import logs
from marketdata_operator.board import Board
from marketdata_operator.observed import Admission, read
from marketdata_operator.resource import GROUP, PLURAL, VERSION
from marketdata_operator.telemetry import OperatorMetrics

_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 15.0
_BEAT_SECONDS = 5.0

_log = logs.get("watch")


class Watch:
    """Feeds the board until told to stop."""

    def __init__(
        self,
        *,
        board: Board,
        admission: Admission,
        namespaces: Collection[str] | None,
        login: Callable[[], kopf.ConnectionInfo],
        ready: threading.Event,
        clock: Clock,
        metrics: OperatorMetrics,
    ) -> None:
        """Wait for `ready` (the definition is known to be installed) before the first watch."""
        self._board = board
        self._admission = admission
        self._namespaces = namespaces
        self._login = login
        self._ready = ready
        self._clock = clock
        self._metrics = metrics

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Watch until `stop` is set."""
        pause = _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            beat()
            if not self._ready.is_set():
                self._clock.wait(_FIRST_PAUSE_SECONDS, stop)
                continue
            began = self._clock.monotonic()
            try:
                asyncio.run(self._watch(stop, beat))
            except Exception as error:  # noqa: BLE001 - a supervised loop; kopf has many ways to end
                if stop.is_set():
                    return
                is_steady = self._clock.monotonic() - began > _LAST_PAUSE_SECONDS
                pause = _FIRST_PAUSE_SECONDS if is_steady else min(_LAST_PAUSE_SECONDS, pause * 2)
                self._metrics.watch_ended()
                _log.warning("watch ended", why=str(error) or type(error).__name__, again_in_seconds=pause)
                self._clock.wait(pause, stop)

    def see(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Put one event on the board; `kind` is None for the objects that were there before."""
        self._metrics.watched()
        try:
            if kind == "DELETED":
                self._board.forget(body["metadata"]["uid"])
            else:
                self._board.observe(read(body, self._admission))
        except MarketDataError as error:
            _log.error("object not understood", name=body["metadata"].get("name"), why=str(error))

    async def _watch(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        stopping = asyncio.Event()
        watching = asyncio.create_task(
            kopf.operator(
                registry=self._registry(),
                settings=_settings(),
                standalone=True,
                clusterwide=self._namespaces is None,
                namespaces=sorted(self._namespaces or ()),
                stop_flag=stopping,
            )
        )
        # The flag is a thread's; polling it costs nothing and leaves no thread behind that waits on it.
        while not watching.done():
            if stop.is_set():
                stopping.set()
            beat()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(watching), 0.2)
        watching.result()
        if not stop.is_set():
            raise ConnectionError("the watch came to an end by itself")

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**_: object) -> kopf.ConnectionInfo:
            return self._login()

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def on_event(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002 - kopf's name
            self.see(type, body)

        return registry


def _settings() -> kopf.OperatorSettings:
    # What kopf has to say is said by `run` in one line; its own lines come with stack traces.
    logging.getLogger("kopf").setLevel(logging.CRITICAL)
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # the process has its own limit
    settings.peering.standalone = True  # a foreign KopfPeering must not pause us
    settings.scanning.disabled = True  # no rights on namespaces and definitions are asked for
    settings.posting.enabled = False
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.chunk_size = 500
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (1, 2, 4)
    settings.queueing.idle_timeout = 1.0  # a task that waits for more events of one object
    return settings
