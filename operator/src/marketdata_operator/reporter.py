"""Writes status and events: what is news at once, times alone seldom, never faster than allowed.

Runs beside the reconciler, so that thousands of statuses in the queue never hold back a change of
the rows. A status that says nothing new is not written.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from marketdata.clock import Clock
from marketdata.domain.job_status import JobStatus
from marketdata.errors import MarketDataError, StoreUnavailable, Transient
from marketdata.steps import StepObserver
from marketdata.telemetry import logs
from marketdata_operator import report
from marketdata_operator.board import Board
from marketdata_operator.bucket import TokenBucket
from marketdata_operator.errors import ObjectChanged, ObjectGone, ObjectRefused
from marketdata_operator.observed import Observed
from marketdata_operator.ports import JobStatuses, Kubernetes
from marketdata_operator.report import Happening
from marketdata_operator.status import Change, Status, change
from marketdata_operator.steps import OperatorStep
from marketdata_operator.telemetry import OperatorMetrics

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PAUSE_FACTOR = 20  # looking takes at most a twentieth of the time
SLICE_SECONDS = 2.0  # of writing, before everything is looked at again
STORE_GRACE_SECONDS = 10.0  # a failover is not told to every object
SELDOM_SECONDS = 60.0
_FIRST = float("-inf")

_log = logs.get("reporter")


class Pending(NamedTuple):
    """A status to be written; the smallest `rank` first."""

    rank: tuple[float, ...]
    observed: Observed
    status: Status


class Reporter:
    """One thread's loop; `turn` may be called alone in tests."""

    def __init__(
        self,
        *,
        board: Board,
        kubernetes: Kubernetes,
        statuses: JobStatuses,
        clock: Clock,
        metrics: OperatorMetrics,
        writes_per_second: float,
        on_step: StepObserver,
    ) -> None:
        self._board = board
        self._kubernetes = kubernetes
        self._statuses = statuses
        self._clock = clock
        self._metrics = metrics
        self._rate = writes_per_second
        self._on_step = on_step
        self._bucket = TokenBucket(rate=writes_per_second, clock=clock)
        self._written: dict[str, float] = {}  # uid -> when a status was last written
        self._refused: set[str] = set()  # uids whose last write was turned down
        self._outdated: dict[str, int] = {}  # uid -> the version that is known not to be the newest
        self._read_at: float | None = None
        self._away_since: float | None = None
        self._untold: str | None = None  # why events are not written at present

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Turn until `stop` is set."""
        while not stop.is_set():
            pause = self.turn(stop)
            beat()
            self._clock.wait(pause, stop)

    def why_not(self) -> str | None:
        """Return None if the database answered lately, or one sentence."""
        if self._away_since is not None:
            return "the database cannot be reached"
        return None if self._read_at is not None else "the database has not been read yet"

    def turn(self, stop: threading.Event) -> float:
        """Look at everything, write for a while, and return the seconds to rest."""
        began = self._clock.monotonic()
        rows = self._rows()
        if rows is None and began - (self._away_since or began) < STORE_GRACE_SECONDS:
            return SHORTEST_PAUSE_SECONDS
        pending = self._pending(rows)
        took = self._clock.monotonic() - began
        pause = min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, PAUSE_FACTOR * took))
        try:
            is_done = self._write_for_a_while(pending, stop)
        except Transient as error:
            after = error.retry_after.total_seconds() if error.retry_after else 0.0
            _log.warning("status not written", reason=error.reason, why=str(error), waiting=len(pending))
            return max(2 * SHORTEST_PAUSE_SECONDS, pause, after)
        return pause if is_done else 0.0

    def _rows(self) -> Mapping[str, JobStatus] | None:
        """Return how the jobs fare, or None while the database is away."""
        try:
            rows = self._statuses.statuses()
        except StoreUnavailable as error:
            if self._away_since is None:
                _log.warning("job states not read", reason=error.reason, why=str(error))
                self._away_since = self._clock.monotonic()
            return None
        self._read_at, self._away_since = self._clock.monotonic(), None
        return rows

    def _pending(self, rows: Mapping[str, JobStatus] | None) -> list[Pending]:
        """Return what is worth writing now: changes of the known first, then the new, then mere times."""
        objects = self._board.objects()
        now, monotonic = self._clock.now(), self._clock.monotonic()
        seldom = max(SELDOM_SECONDS, 2 * len(objects) / self._rate)
        uids = {each.uid for each in objects}
        self._written = {uid: at for uid, at in self._written.items() if uid in uids}
        self._refused &= uids
        self._outdated = {uid: version for uid, version in self._outdated.items() if uid in uids}
        wished = [
            report.status(
                each,
                rows.get(each.uid) if rows is not None else None,
                now=now,
                is_store_away=rows is None,
                seldom_seconds=seldom,
            )
            for each in objects
        ]
        self._metrics.show(wished)
        pending = []
        for observed, status in zip(objects, wished, strict=True):
            if self._outdated.get(observed.uid) == observed.version:
                continue  # the watch, or the next sweep, brings the version that can be written to
            found = change(observed.status, status)
            written = self._written.get(observed.uid, _FIRST)
            is_urgent = found is Change.NEWS and observed.uid not in self._refused
            if is_urgent or (found is not Change.NONE and monotonic - written >= seldom):
                is_new = not observed.status.conditions
                pending.append(Pending((not is_urgent, is_new, written), observed, status))
        self._metrics.pending(len(pending))
        return sorted(pending, key=lambda each: each.rank)

    def _write_for_a_while(self, pending: Sequence[Pending], stop: threading.Event) -> bool:
        """Write in order until all is written (True) or the slice is over."""
        until = self._clock.monotonic() + SLICE_SECONDS
        for each in pending:
            # Asked before the token is waited for: at a low rate one write is a slice.
            if self._clock.monotonic() >= until or not self._token(stop):
                return False
            self._write(each.observed, each.status, stop)
        return True

    def _write(self, observed: Observed, status: Status, stop: threading.Event) -> None:
        uid = observed.uid
        try:
            # 1. The status, whole; dying before the events loses them, and the status tells as much.
            version = self._kubernetes.apply_status(observed, status)
        except ObjectChanged as error:
            self._metrics.wrote("status", error.reason)
            self._outdated[uid] = observed.version
            return
        except (ObjectGone, ObjectRefused) as error:
            self._metrics.wrote("status", error.reason)
            self._written[uid] = self._clock.monotonic()
            self._refused.add(uid)
            if isinstance(error, ObjectRefused):
                _log.error("status refused", namespace=observed.namespace, name=observed.name, why=str(error))
            return
        self._on_step(OperatorStep.STATUS_APPLIED)
        self._metrics.wrote("status", "written")
        self._board.wrote(uid, status, version)
        self._written[uid] = self._clock.monotonic()
        self._refused.discard(uid)
        # 2. An event for each transition; never repeated, as the status now says what they say.
        for happening in report.happenings(observed.status, status):
            self._post(observed, happening, stop)

    def _post(self, observed: Observed, happening: Happening, stop: threading.Event) -> None:
        if not self._token(stop):
            return
        try:
            self._kubernetes.post_event(observed, happening)
        except MarketDataError as error:
            self._metrics.wrote("event", error.reason)
            if self._untold != error.reason:  # one line, not one for each of thousands
                _log.warning("events not written", reason=error.reason, why=str(error))
            self._untold = error.reason
            return
        self._untold = None
        self._on_step(OperatorStep.EVENT_POSTED)
        self._metrics.wrote("event", "written")

    def _token(self, stop: threading.Event) -> bool:
        """Wait for a token and take it; False where the process is to stop."""
        while (delay := self._bucket.delay()) > 0.0:
            if self._clock.wait(delay, stop):
                return False
        self._bucket.take()
        return not stop.is_set()
