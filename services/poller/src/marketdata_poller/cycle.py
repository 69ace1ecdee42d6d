"""Polling one provider: claim, ask, record; one request at a time.

Jobs claimed wait in a working set until all their symbols have an outcome. The set is topped up
between requests, so a job that falls due during a long round joins it and shares what comes.
Promises: what is recorded is recorded once (`storage.outcomes`); dying at any step loses no tick,
because leases end by themselves; whatever a provider does ends as outcomes of its own symbols.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from marketdata.clock import Clock
from marketdata.domain.answer import Answer
from marketdata.domain.poll import DueJob, SymbolOutcome
from marketdata.errors import StoreUnavailable
from marketdata.steps import StepObserver
from marketdata.storage.job_queue import MAX_JOBS_PER_CLAIM, PostgresJobQueue
from marketdata.storage.outcomes import PostgresOutcomes, Recorded, Recording
from marketdata.telemetry import logs
from marketdata.telemetry.traces import NO_TRACES, Span, Traces, within
from marketdata_poller.fetching import BoundedFetcher
from marketdata_poller.gate import SharedGate
from marketdata_poller.measures import PollMeasures
from marketdata_poller.plan import concerned, plan, shortest_intervals
from marketdata_poller.reading import read
from marketdata_poller.steps import PollerStep

_log = logs.get("poll")

_NAMED_JOBS = 5  # in a log line; a request may serve hundreds
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class PollCycle:
    """The rounds of one provider; used by one thread."""

    def __init__(
        self,
        *,
        provider: str,
        max_symbols: Callable[[], int],
        queue: PostgresJobQueue,
        outcomes: PostgresOutcomes,
        fetcher: BoundedFetcher,
        gates: Callable[[], SharedGate],
        lease: timedelta,
        clock: Clock,
        measures: PollMeasures,
        stop: threading.Event,
        beat: Callable[[], None],
        on_events: Callable[[], None],
        on_step: StepObserver,
        traces: Traces = NO_TRACES,
    ) -> None:
        """`gates` makes the gate of one fetch; `beat` says that the loop lives while it waits.

        `on_events` is called when events were committed, so that a relay beside it need not look.
        """
        self._provider = provider
        self._max_symbols = max_symbols
        self._queue = queue
        self._outcomes = outcomes
        self._fetcher = fetcher
        self._gates = gates
        self._renew_after = lease.total_seconds() / 3
        self._clock = clock
        self._measures = measures
        self._stop = stop
        self._beat = beat
        self._on_events = on_events
        self._traces = traces
        self._on_step = on_step
        self._jobs: dict[UUID, DueJob] = {}
        self._known: dict[str, SymbolOutcome] = {}
        self._quicker: dict[str, int] = {}
        self._database_time: tuple[datetime, float] | None = None
        self._renewed_at = 0.0

    def turn(self) -> bool:
        """Claim what is due and serve one request of it; return whether there is more to do now.

        Raises StoreUnavailable from claiming only: an answer in hand waits for the store instead.
        """
        # 1. Claim. Died here: the leases end by themselves and the next claimer goes on.
        self._claim()
        if not self._jobs:
            return False
        todo = plan(self._jobs.values(), self._known, max_symbols=self._max_symbols())
        if todo.complete:
            # 2. Jobs that need no request, as all their symbols were asked for since their tick.
            self._record(Recording(self._provider, self._now(), todo.complete, self._known))
        if todo.requests:
            self._serve(todo.requests[0])
        return bool(self._jobs)

    def release(self) -> None:
        """Give up what is claimed, so that another poller need not wait for the leases to end."""
        jobs, self._jobs = list(self._jobs.values()), {}
        if jobs:
            self._queue.release(jobs)
            # Died here: as if released; the schedule is as it was before the claim.
            self._on_step(PollerStep.RELEASED)

    def forget(self) -> None:
        """Drop the working set after a defect; its leases end by themselves."""
        self._jobs.clear()
        self._known.clear()
        self._quicker.clear()

    def _claim(self) -> None:
        room = MAX_JOBS_PER_CLAIM - len(self._jobs)
        claim = self._queue.claim(self._provider, limit=room) if room > 0 else None
        if claim is None:
            return
        self._database_time = (claim.claimed_at, self._clock.monotonic())
        if not claim.jobs:
            return
        if not self._jobs:
            self._known.clear()
            self._quicker.clear()
            self._renewed_at = self._clock.monotonic()
        for symbol, known in claim.known.items():
            mine = self._known.get(symbol)
            if mine is None or mine.asked_at < known.asked_at:
                self._known[symbol] = known
        # A backlog may keep the set from ever being empty: what no job says any more is forgotten.
        for symbol in {symbol for job in claim.jobs for symbol in job.symbols}:
            self._quicker.pop(symbol, None)
        self._quicker.update(claim.quicker)
        self._jobs.update((job.job_id, job) for job in claim.jobs)
        self._measures.claimed(self._provider, claim.jobs, claim.claimed_at)
        self._on_step(PollerStep.CLAIMED)

    def _serve(self, symbols: Sequence[str]) -> None:
        span = self._traces.begin("poll")
        with within(span):
            self._poll(symbols, span)

    def _poll(self, symbols: Sequence[str], span: Span) -> None:
        asked_at = self._now()
        waiting = concerned(self._jobs.values(), symbols)
        span.tell(provider=self._provider, jobs=len(waiting), symbols=len(symbols))
        # 3. Ask the provider. Died here: the answer is gone with us and was never promised; the
        #    symbols are asked again by whoever claims their jobs next.
        started = self._clock.monotonic()
        with self._part("fetch", span):
            answer = self._fetch(symbols)
        if answer is None:
            return  # the process ends, and another poller serves these jobs
        took = self._clock.monotonic() - started
        self._on_step(PollerStep.FETCHED)
        reading = read(
            answer,
            provider=self._provider,
            symbols=symbols,
            asked_at=asked_at,
            intervals=shortest_intervals(waiting, symbols, self._quicker),
            traceparent=span.traceparent,
        )
        self._measures.fetched(self._provider, took, reading.observations)
        # 4. Record. Died here: all of it is kept, and symbols known since their tick serve the jobs
        #    that were still waiting, without another request.
        recording = Recording(
            self._provider,
            asked_at,
            waiting,
            self._known,
            raws=answer.raws,
            observations=reading.observations,
            missed=reading.missed,
        )
        with self._part("record", span):
            self._record(recording)
        span.tell(events=len(reading.observations), missed=len(reading.missed))
        _log.info(
            "polled",
            provider=self._provider,
            job=[str(job.job_id) for job in waiting[:_NAMED_JOBS]],
            jobs=len(waiting),
            symbols=len(symbols),
            events=len(reading.observations),
            missed=len(reading.missed),
            seconds=round(self._clock.monotonic() - started, 3),
        )

    def _part(self, name: str, of: Span) -> AbstractContextManager[None]:
        traces = self._traces if of.traceparent else NO_TRACES
        return within(traces.begin(name, parent=of.traceparent))

    def _fetch(self, symbols: Sequence[str]) -> Answer | None:
        gate = self._gates()
        try:
            return self._fetcher.fetch(symbols, gate=gate, stop=self._stop, while_waiting=self._stay_alive)
        finally:
            gate.close()

    def _stay_alive(self) -> None:
        """Renew the leases at a third of their length. Raises nothing: recording finds out the truth."""
        self._beat()
        now = self._clock.monotonic()
        if now - self._renewed_at < self._renew_after:
            return
        self._renewed_at = now
        try:
            held = self._queue.renew(list(self._jobs.values()))
        except StoreUnavailable:
            _log.warning("leases not renewed", provider=self._provider, jobs=len(self._jobs))
            return
        lost = self._jobs.keys() - held
        if lost:
            _log.warning("leases lost", provider=self._provider, jobs=len(lost))
        # Died here: the jobs wait for the longer lease to end.
        self._on_step(PollerStep.RENEWED)

    def _record(self, recording: Recording) -> None:
        late = self._fetcher.late()
        if late:
            # Answers of requests given up: their symbols have another outcome, the bytes are kept.
            recording = Recording(
                recording.provider,
                recording.asked_at,
                recording.jobs,
                recording.known,
                raws=(*recording.raws, *late),
                observations=recording.observations,
                missed=recording.missed,
            )
        recorded = self._persisted(recording)
        if recorded is None:
            return
        self._on_step(PollerStep.RECORDED)
        if recorded.events:
            self._on_events()
        self._known.update(recorded.outcomes)
        for job_id in (*recorded.completed, *recorded.recorded_before, *recorded.lost):
            self._jobs.pop(job_id, None)
        self._measures.recorded(self._provider, recorded)
        if recorded.lost:
            _log.warning("answer came under lost leases", provider=self._provider, jobs=len(recorded.lost))

    def _persisted(self, recording: Recording) -> Recorded | None:
        """Record however long the store is away; None if the process is to end before it is back."""
        tries = 0
        while True:
            try:
                return self._outcomes.record(recording)
            except StoreUnavailable as error:
                pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
                if tries == 0:
                    _log.warning("answer waits for the store", provider=self._provider, error=str(error))
                tries += 1
                self._beat()
                if self._clock.wait(pause, self._stop):
                    return None

    def _now(self) -> datetime:
        """Return the database's time, never ahead of it: what it told last and the time since."""
        assert self._database_time is not None
        told, at = self._database_time
        return told + timedelta(seconds=self._clock.monotonic() - at)
