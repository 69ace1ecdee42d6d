"""The consumer's one loop: take, decode, hand over, look after the group.

While one batch is written by the worker's thread, the next is taken and decoded here. At most one
batch is being written and one gathered, so memory is bounded; and a batch is handed over as soon as
the worker is free, so it is as small as the load allows and as large as it needs.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from marketdata.clock import Clock
from marketdata.errors import Fenced, StoreUnavailable, StreamUnavailable
from marketdata.steps import StepObserver, unobserved
from marketdata.telemetry import logs
from marketdata.telemetry.health import Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata.telemetry.traces import NO_TRACES, Traces
from marketdata_consumer.batch import Batch, Gathering
from marketdata_consumer.cachefeed import CacheFeed
from marketdata_consumer.logwatch import NOTHING_SEEN, LogWatch
from marketdata_consumer.origins import Origins
from marketdata_consumer.ports import EventStream
from marketdata_consumer.positioning import Positioner
from marketdata_consumer.settings import ConsumerSettings
from marketdata_consumer.stalls import Stalls
from marketdata_consumer.steps import ConsumerStep
from marketdata_consumer.watchdog import Watchdog
from marketdata_consumer.worker import Worker
from marketdata_consumer.writer import BatchWriter, Written

_log = logs.get("consumer.loop")

# How long the loop may stay away from `consume` before it makes the partitions stand still and goes
# back to it: far below max.poll.interval (300 s), above any healthy transaction.
_PATIENCE_SECONDS = 1.0
# While a batch is being written, how long messages lie before they are decoded: a few times in a
# batch's time, so that little is left to decode when it ends, and not for each handful of them.
_GLANCE_SECONDS = 0.025
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_COMMIT_EVERY_SECONDS = 0.5
# A broker sends what there is within 0.1 s; a busy one within some seconds. After 5, 10, 20, 40 and 80 s
# at one position the client is made anew.
_STALL_SECONDS = 5.0
_RENEW_AT_TRY = 5
_FINISH_SECONDS = 15.0
_REVOKE_SECONDS = 2.0


class Stuck(Exception):
    """There is lag, nothing moves, and the dependencies answer."""


class ConsumerLoop:
    """Runs until stopped; all methods but `stop` belong to the thread that runs it."""

    def __init__(
        self,
        *,
        make_stream: Callable[[Callable[[frozenset[int]], None]], EventStream],
        positioner: Positioner,
        writer: BatchWriter,
        feed: CacheFeed,
        watch: LogWatch,
        watchdog: Watchdog,
        settings: ConsumerSettings,
        clock: Clock,
        heartbeats: Heartbeats,
        metrics: Metrics,
        traces: Traces = NO_TRACES,
        stop: threading.Event,
        on_step: StepObserver = unobserved,
    ) -> None:
        self._make_stream = make_stream
        self._positioner = positioner
        self._writer = writer
        self._feed = feed
        self._watch = watch
        self._watchdog = watchdog
        self._settings = settings
        self._clock = clock
        self._heartbeats = heartbeats
        self._stop = stop
        self._on_step = on_step
        self._worker = Worker("writer")
        self._stalls = Stalls(_STALL_SECONDS)

        self._batch_size = metrics.histogram("marketdata_consumer_batch_events")
        self._batch_seconds = metrics.histogram("marketdata_consumer_batch_seconds")
        self._age_in_store = metrics.histogram("marketdata_price_age_seconds").labels("store", "")
        self._pause = metrics.histogram("marketdata_consumer_rebalance_pause_seconds")
        self._events = metrics.counter("marketdata_consumer_events_total")
        self._rebalances = metrics.counter("marketdata_consumer_rebalances_total")
        self._fenced = metrics.counter("marketdata_consumer_fenced_total")
        self._stalled = metrics.counter("marketdata_consumer_stalls_total")
        self._store_retries = metrics.counter("marketdata_consumer_store_retries_total")
        self._assigned = metrics.gauge("marketdata_consumer_assigned_partitions")

        self._stream: EventStream
        self._gathering = Gathering({})  # its positions: where the next message is expected
        self._origins = Origins(on=traces.on)
        self._running: set[int] = set()  # partitions that flow
        self._committed: dict[int, int] = {}  # positions known to be in the store
        self._in_flight: Future[Written | None] | None = None
        self._in_flight_batch: Batch | None = None
        self._in_flight_since = 0.0
        self._position_again_at = float("-inf")
        self._failures = 0
        self._standing_since: float | None = None
        self._commit_due_at: float | None = None
        self._store_answers = True
        self._moved = False

    def run(self) -> None:
        """Consume until `stop` is set, then finish the batch in flight and leave the group.

        Returns normally then. Raises Stuck where only a restart can help. No dependency that is
        away ends it.
        """
        if not self._open_stream():
            return
        self._watch.start()
        try:
            while not self._stop.is_set():
                self._heartbeats.beat("consume")
                try:
                    self._turn()
                except StreamUnavailable as error:
                    self._renew_stream(error)
        finally:
            self._watch.stop()
            self._heartbeats.forget("consume")
        self._finish()

    def _turn(self) -> None:
        self._collect()
        self._follow_log()
        if self._in_flight is None:
            self._position()
        self._take()
        self._hand_over()
        self._commit()
        self._judge()

    # --- taking

    def _take(self) -> None:
        room = self._settings.batch_size - self._gathering.size
        if self._in_flight is not None:
            full = room <= 0 or self._gathering.is_heavy
            wait([self._in_flight], _GLANCE_SECONDS)
            if full and self._clock.monotonic() - self._in_flight_since < _PATIENCE_SECONDS:
                return
            if full:
                self._halt(self._running)
            timeout = 0.0 if self._in_flight.done() or not full else self._settings.batch_seconds
        else:
            timeout = self._settings.batch_seconds if self._gathering.size == 0 else 0.0
        limit = max(1, room)
        taken = self._stream.consume(limit, timeout)
        for partition, messages in taken.items():
            if partition in self._running:
                self._gathering.add(partition, messages)
                self._origins.add(messages)
        if sum(map(len, taken.values())) < limit:
            self._start_stalled()

    def _start_stalled(self) -> None:
        """Let partitions flow again that deliver nothing; the client has nothing more of any."""
        seen = self._watch.fresh() or NOTHING_SEEN
        positions = {partition: self._gathering.positions[partition] for partition in self._running}
        now = self._clock.monotonic()
        if not (stalls := self._stalls.observe(now, positions=positions, ends=seen.ends, seen_at=seen.at)):
            return
        self._stalled.inc(len(stalls))
        _log.warning("stalled", positions={p: stall.position for p, stall in sorted(stalls.items())})
        if any(stall.tries == _RENEW_AT_TRY for stall in stalls.values()):
            raise StreamUnavailable("partitions deliver nothing, however often they are started again")
        self._halt(set(stalls))

    def _hand_over(self) -> None:
        if self._in_flight is not None:
            return
        now = self._clock.monotonic()
        if self._feed.repair_due():
            self._in_flight = self._worker.submit(self._repair)
            self._in_flight_since = now
        elif self._gathering.size > 0:
            account = self._positioner.account
            assert account is not None, "partitions flow only in an account"
            self._on_step(ConsumerStep.BATCH_TAKEN)
            batch = self._gathering.seal()
            origins = self._origins.take()
            self._in_flight_batch = batch
            self._in_flight = self._worker.submit(lambda: self._write(account, batch, origins))
            self._in_flight_since = now

    # --- in the worker's thread

    def _write(self, account: str, batch: Batch, origins: Sequence[str]) -> Written:
        """Write, again and again while the store is away; only a stop ends that."""
        tries = 0
        while True:
            self._heartbeats.beat("write")
            try:
                written = self._writer.write(account, batch, origins)
            except StoreUnavailable as error:
                self._store_answers = False
                self._store_retries.inc()
                if tries == 0:
                    _log.warning("store_away", events=batch.size, reason=error.reason, detail=str(error))
                pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
                tries += 1
                if self._clock.wait(pause, self._stop):
                    raise
            else:
                self._store_answers = True
                if tries:
                    _log.info("store_back", tries=tries)
                return written
            finally:
                self._heartbeats.forget("write")

    def _repair(self) -> None:
        self._feed.repair()

    # --- what became of it

    def _collect(self) -> None:
        future = self._in_flight
        if future is None or not future.done():
            return
        batch = self._in_flight_batch
        self._in_flight, self._in_flight_batch = None, None
        if batch is None:
            self._judge_repair(future)
            return
        try:
            written = future.result()
        except Fenced as error:
            self._fenced.inc()
            _log.warning("fenced", detail=str(error))
            self._start_again()
            return
        except StoreUnavailable:
            return  # stopping
        assert written is not None, "a write returns what it wrote"
        self._moved = True
        self._batch_size.observe(batch.size)
        self._batch_seconds.observe(self._clock.monotonic() - self._in_flight_since)
        now = self._clock.now().timestamp()
        for published in batch.published:
            self._age_in_store.observe(max(0.0, now - published))
        for outcome in ("stored", "superseded", "redelivered", "dead"):
            if count := getattr(written, outcome):
                self._events.labels(outcome).inc(count)
        if written.dead:
            _log.warning("dead_letters", count=written.dead, reasons=_reasons(batch))
        self._committed.update({p: m.next_offset for p, m in batch.moves.items() if p in self._committed})
        if self._commit_due_at is None:
            self._commit_due_at = self._clock.monotonic() + _COMMIT_EVERY_SECONDS

    def _judge_repair(self, future: Future[Written | None]) -> None:
        """Log a repair's defect, whole, and owe the repair: it must not end what stores prices."""
        if (error := future.exception()) is not None:
            _log.error("cache_repair_failed", exc_info=error)
            self._feed.owe_repair_later()

    # --- positions

    def _position(self) -> None:
        assigned = self._stream.assigned()
        self._assigned.set(len(assigned))
        if self._stream.outside():
            # librdkafka fetches such a partition no more, whatever it is told: a seek is taken and
            # nothing flows (2.16). A new client does, and finds the gap when it looks for positions.
            raise StreamUnavailable("a position is outside the log")
        standing = assigned - self._running
        if self._standing_since is None and standing - self._gathering.positions.keys():
            self._standing_since = self._clock.monotonic()
        if not standing or self._clock.monotonic() < self._position_again_at:
            return
        known = self._gathering.positions
        unknown = standing - known.keys()
        try:
            if unknown:
                found = self._positioner.find(self._stream, unknown)
                known.update(found)
                self._committed.update(found)
                if found:
                    self._rebalances.labels("assigned").inc()
                    self._feed.owe_repair()
                    self._commit_due_at = self._clock.monotonic()
                    _log.info("positioned", partitions=len(found), account=self._positioner.account)
            self._running |= self._stream.run({p: known[p] for p in standing if p in known})
            self._store_answers = True
        except StoreUnavailable as error:
            self._store_answers = False
            _log.warning("positions_put_off", reason=error.reason)
        except StreamUnavailable as error:
            _log.warning("positions_put_off", reason=error.reason, detail=str(error))
        if assigned <= self._running:
            self._failures = 0
            self._tell_pause()
        else:
            pause = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
            self._failures += 1
            self._position_again_at = self._clock.monotonic() + pause

    def _tell_pause(self) -> None:
        if self._standing_since is not None:
            self._pause.observe(self._clock.monotonic() - self._standing_since)
            self._standing_since = None

    def _follow_log(self) -> None:
        sight = self._watch.sight
        if sight is None or self._positioner.account is None or sight.account == self._positioner.account:
            return
        if sight.at <= self._positioner.account_since:
            return
        _log.warning("log_is_another", was=self._positioner.account, now=sight.account)
        self._positioner.forget_account()
        self._start_again()

    def _start_again(self) -> None:
        """Read all positions again, and drop what was taken from the old ones."""
        assigned = self._stream.assigned()
        self._halt(assigned)
        self._forget(frozenset(self._gathering.positions))

    def _halt(self, partitions: set[int] | frozenset[int]) -> None:
        self._stream.halt(sorted(partitions))
        self._running -= set(partitions)

    def _forget(self, partitions: frozenset[int]) -> None:
        self._gathering.drop(sorted(partitions))
        for partition in partitions:
            self._gathering.positions.pop(partition, None)
            self._committed.pop(partition, None)
        self._running -= partitions

    def _revoked(self, partitions: frozenset[int]) -> None:
        # Let the batch in flight end first, so that the next owner is not fenced by it; if it does
        # not end in time, the compare-and-set decides between the two.
        if self._in_flight is not None:
            wait([self._in_flight], _REVOKE_SECONDS)
        self._rebalances.labels("revoked").inc()
        self._forget(partitions)
        _log.info("revoked", partitions=len(partitions))

    def _renew_stream(self, error: StreamUnavailable) -> None:
        _log.warning("stream_renewed", reason=str(error))
        self._forget(frozenset(self._gathering.positions))
        self._stream.close()
        self._clock.wait(_RETRY_SECONDS[-1], self._stop)
        self._open_stream()

    def _open_stream(self) -> bool:
        """Make the client, again and again while its secret cannot be read; False where stopped before."""
        while True:
            self._heartbeats.beat("consume")
            try:
                self._stream = self._make_stream(self._revoked)
            except StreamUnavailable as error:
                _log.warning("stream_not_made", reason=str(error))
                if self._clock.wait(_RETRY_SECONDS[-1], self._stop):
                    return False
            else:
                return True

    # --- the group's offsets, and the end

    def _commit(self) -> None:
        if self._commit_due_at is not None and self._clock.monotonic() >= self._commit_due_at:
            self._commit_due_at = None
            self._stream.commit(self._committed)
            self._on_step(ConsumerStep.OFFSETS_COMMITTED)

    def _judge(self) -> None:
        moved, self._moved = self._moved, False
        sight = self._watch.sight
        lag = 0 if sight is None else sight.lag(self._committed)
        answers = self._store_answers and self._watch.answers()
        if self._watchdog.observe(self._clock.monotonic(), moved=moved, lag=lag, dependencies_answer=answers):
            raise Stuck(f"{lag} messages wait and nothing moves")

    def _finish(self) -> None:
        # 1. The batch in flight ends, or is left to be read again. What was only gathered is too.
        if self._in_flight is not None:
            wait([self._in_flight], _FINISH_SECONDS)
            self._collect()
        # 2. The group's offsets, so that lag tools end at the truth. 3. The others get our partitions.
        self._stream.commit(self._committed)
        self._stream.close()


def _reasons(batch: Batch) -> Sequence[str]:
    return sorted({letter.detail[:80] for letter in batch.dead_letters})[:3]
