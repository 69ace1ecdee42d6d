"""Brings rows in line with objects: what changed at once, everything every sweep.

The watch is only the fast way: whatever it misses, the next sweep finds, from its own list. A sweep
reads the rows before it lists the objects, so a row is retired only for an object that was there
before the list and is not in it.
"""

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from uuid import UUID

from marketdata.clock import Clock
from marketdata.domain.job import PollingJob
from marketdata.errors import Transient
from marketdata.steps import StepObserver
from marketdata.telemetry import logs
from marketdata.telemetry.traces import NO_TRACES, Traces, within
from marketdata_operator.board import Board
from marketdata_operator.observed import Admission, Refusal, read
from marketdata_operator.plan import plan
from marketdata_operator.ports import JobBook, JobStatuses, Kubernetes
from marketdata_operator.steps import OperatorStep
from marketdata_operator.telemetry import OperatorMetrics

COALESCE_SECONDS = 0.05
MOST_COALESCED_SECONDS = 0.2
CHUNK = 500  # rows in one transaction
_JITTER = 0.1
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 15.0  # an outage that is over should not be waited for much longer

_log = logs.get("reconciler")


class Backoff:
    """When a kind of work that failed may be tried again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = 0.0
        self.at = clock.monotonic()

    def failed(self) -> float:
        """Postpone, for longer each time in a row; return for how long."""
        self._seconds = min(_LAST_RETRY_SECONDS, max(_FIRST_RETRY_SECONDS, self._seconds * 2))
        self.at = self._clock.monotonic() + self._seconds
        return self._seconds

    def succeeded(self, *, again_in: float) -> None:
        self._seconds = 0.0
        self.at = self._clock.monotonic() + again_in

    @property
    def is_due(self) -> bool:
        return self._clock.monotonic() >= self.at


class Reconciler:
    """One thread's loop; `turn` may be called alone in tests."""

    def __init__(
        self,
        *,
        board: Board,
        kubernetes: Kubernetes,
        book: JobBook,
        statuses: JobStatuses,
        admission: Admission,
        clock: Clock,
        metrics: OperatorMetrics,
        sweep_seconds: float,
        on_step: StepObserver,
        traces: Traces = NO_TRACES,
    ) -> None:
        self.listed = threading.Event()  # the first complete list has been read
        self._board = board
        self._kubernetes = kubernetes
        self._book = book
        self._statuses = statuses
        self._admission = admission
        self._clock = clock
        self._metrics = metrics
        self._sweep_seconds = sweep_seconds
        self._on_step = on_step
        self._traces = traces
        self._held: frozenset[str] = frozenset()
        self._drains = Backoff(clock)
        self._sweeps = Backoff(clock)

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Turn until `stop` is set; who sets it sets the board's `changed` too."""
        while not stop.is_set():
            self.turn(stop)
            beat()
            # Looked at again: a drain wipes out a `changed` that was set with it.
            if not stop.is_set():
                self._rest(stop)

    def turn(self, stop: threading.Event) -> None:
        """Do what is due: drain what changed, and sweep. An expected failure is tried again later."""
        if self._board.waiting() and self._drains.is_due:
            self._coalesce(stop)
            self._try("drain", self.drain, self._drains, again_in=0.0)
        if self._sweeps.is_due and not stop.is_set():
            self._try("sweep", self.sweep, self._sweeps, again_in=self._period())

    def drain(self) -> None:
        """Write what the watch brought."""
        with self._metrics.reconciling("drain"):
            # 1. Taken off the board; dying here loses only what the next start's first sweep finds.
            dirty, gone = self._board.take()
            with ExitStack() as at_failure:
                at_failure.callback(self._board.put_back, dirty, gone)
                # 2. Written, in chunks; dying between two leaves rows that the first sweep completes.
                self._write([each.wish for each in dirty if isinstance(each.wish, PollingJob)], gone)
                for each in dirty:
                    if isinstance(each.wish, Refusal) and each.wish.suspended:
                        self._pause(each.job_id)
                at_failure.pop_all()

    def sweep(self) -> None:
        """Compare every row with every object, and write what differs."""
        with self._metrics.reconciling("sweep"):
            # 1. Rows first, then objects: a row of an object made meanwhile is never taken for an orphan.
            known = self._statuses.known()
            # 2. A list that fails midway changes nothing.
            self._board.begin_sweep()
            listed = [read(body, self._admission) for page in self._kubernetes.pages() for body in page]
            wished = self._board.finish_sweep({each.uid: each for each in listed})
            self.listed.set()
            # 3. Written, in chunks; dying between two leaves the rest to the next sweep. What was deleted
            #    while the list was read is retired by the drain after this.
            wanted = plan(wished, known, held_before=self._held)
            self._write(wanted.upserts, wanted.retire)
            for job_id in wanted.pauses:
                self._pause(job_id)
            self._brake(wanted.held, len(known))
        self._metrics.swept()

    def _write(self, jobs: Sequence[PollingJob], retire: Sequence[str]) -> None:
        release = self._admission.release
        for start in range(0, max(len(jobs), len(retire)), CHUNK):
            counts = self._book.sync(
                release, jobs[start : start + CHUNK], retire=retire[start : start + CHUNK]
            )
            self._on_step(OperatorStep.ROWS_SYNCED)
            self._metrics.synced(counts)
            if counts.created or counts.changed or counts.retired:
                _log.info(
                    "rows synced", created=counts.created, changed=counts.changed, retired=counts.retired
                )

    def _pause(self, job_id: UUID) -> None:
        """Suspend the last accepted spec of an object that is refused now."""
        view = self._book.get(job_id)
        if view is not None and not view.job.suspended:
            self._write([replace(view.job, suspended=True)], ())

    def _brake(self, held: frozenset[str], rows: int) -> None:
        if held:
            self._metrics.braked(len(held), is_new=not self._held)
            _log.warning(
                "absent objects not retired yet",
                held=len(held),
                rows=rows,
                remedy="if they are gone, the next sweep retires them; if not, mend rights or namespaces",
            )
        elif self._held:
            self._metrics.braked(0, is_new=False)
        self._held = held

    def _coalesce(self, stop: threading.Event) -> None:
        """Wait a moment for more, as a burst costs one statement and not one each."""
        waited = 0.0
        while waited < MOST_COALESCED_SECONDS and not stop.is_set():
            before = self._board.waiting()
            self._clock.wait(COALESCE_SECONDS, stop)
            waited += COALESCE_SECONDS
            if self._board.waiting() == before:
                return

    def _try(self, what: str, work: Callable[[], None], backoff: Backoff, *, again_in: float) -> None:
        try:
            with within(self._traces.begin(what)):
                work()
        except Transient as error:
            seconds = backoff.failed()
            _log.warning(
                "not reconciled", what=what, reason=error.reason, why=str(error), again_in_seconds=seconds
            )
        else:
            backoff.succeeded(again_in=again_in)

    def _rest(self, stop: threading.Event) -> None:
        """Wait until something is due or changes."""
        now = self._clock.monotonic()
        if self._board.waiting():  # put back by a drain that failed
            self._clock.wait(min(self._drains.at, self._sweeps.at) - now, stop)
        else:
            self._clock.wait(self._sweeps.at - now, self._board.changed)

    def _period(self) -> float:
        return self._sweep_seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter is no secret
