"""Supervised loops: one thread each, that nothing but the end of the process ends.

A dependency that is away makes a loop wait, longer each time up to MAX_PAUSE_SECONDS; a defect is
logged whole and the loop goes on, so one broken part leaves the others at work. Each turn beats
the loop's heart, so a thread that hangs is seen by liveness.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from marketdata.clock import Clock
from marketdata.errors import Transient
from marketdata.telemetry import logs
from marketdata.telemetry.health import Heartbeats

_log = logs.get("loop")

FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 5.0
# A waiting loop looks up this often, to show that it lives.
_LOOK_SECONDS = 1.0


@dataclass
class Loop:
    """What one thread does for ever.

    `turn` does one piece of work and returns whether there is more at once; else the loop waits
    `idle_seconds`, or until `wake` is set. `at_defect` lets go of what a failed turn may have left,
    `at_end` runs in the thread when the process ends.
    """

    name: str
    turn: Callable[[], bool]
    idle_seconds: float
    at_defect: Callable[[], None] = lambda: None
    at_end: Callable[[], None] = lambda: None
    wake: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Runs loops until told to stop."""

    def __init__(
        self, loops: Sequence[Loop], *, clock: Clock, heartbeats: Heartbeats, stop: threading.Event
    ) -> None:
        self._loops = list(loops)
        self._clock = clock
        self._heartbeats = heartbeats
        self._stop = stop
        self._threads = [
            threading.Thread(target=self._run, args=(loop,), name=loop.name, daemon=True)
            for loop in self._loops
        ]

    def start(self) -> None:
        for loop in self._loops:
            self._heartbeats.beat(loop.name)
        for thread in self._threads:
            thread.start()

    def end(self, *, within_seconds: float) -> list[str]:
        """End all loops after their present turn; return the names of those that did not in time."""
        self._stop.set()
        for loop in self._loops:
            loop.wake.set()
        deadline = self._clock.monotonic() + within_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _run(self, loop: Loop) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            self._heartbeats.beat(loop.name)
            try:
                more = loop.turn()
                pause = FIRST_PAUSE_SECONDS
            except Transient as error:
                _log.warning("a dependency is away", loop=loop.name, reason=error.reason, error=str(error))
                self._rest(loop, pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            except Exception:  # noqa: BLE001 - a supervised loop: a defect must not end the others
                _log.exception("a turn failed", loop=loop.name)
                loop.at_defect()
                self._rest(loop, pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            if not more:
                self._rest(loop, loop.idle_seconds)
        try:
            loop.at_end()
        except Transient as error:
            _log.warning("not all was given up", loop=loop.name, reason=error.reason)
        self._heartbeats.forget(loop.name)

    def _rest(self, loop: Loop, seconds: float) -> None:
        left = seconds
        while left > 0 and not self._stop.is_set():
            if self._clock.wait(min(left, _LOOK_SECONDS), loop.wake):
                break
            left -= _LOOK_SECONDS
            self._heartbeats.beat(loop.name)
        if not self._stop.is_set():
            loop.wake.clear()
