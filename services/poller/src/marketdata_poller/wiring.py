"""Where the poller's objects are made and handed to each other."""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import sqlalchemy as sa

from marketdata.clock import Clock, SystemClock
from marketdata.errors import Permanent
from marketdata.steps import StepObserver
from marketdata.storage.breakers import PostgresBreakers
from marketdata.storage.budget import PostgresBudget
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.engine import create_engine
from marketdata.storage.expiry import Expiry, PostgresExpiry
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.ledger import PostgresLedger
from marketdata.storage.outbox import PostgresOutbox
from marketdata.storage.outcomes import PostgresOutcomes
from marketdata.storage.partitions import PostgresPartitions, Retention
from marketdata.storage.promises import PostgresPromises
from marketdata.storage.settlement import PostgresSettlement
from marketdata.storage.stale_jobs import PostgresStaleJobs
from marketdata.streaming.producer import KafkaEventPublisher
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata.telemetry.traces import Traces
from marketdata_poller import measures
from marketdata_poller.absent import AbsentProvider
from marketdata_poller.cycle import PollCycle
from marketdata_poller.fetching import BoundedFetcher
from marketdata_poller.gate import SharedGate
from marketdata_poller.letters import LetterRelay
from marketdata_poller.loop import Loop, Supervisor
from marketdata_poller.maintenance import Maintenance
from marketdata_poller.orphans import Orphans
from marketdata_poller.ports import Provider
from marketdata_poller.promises import PromiseMeasures, Promises
from marketdata_poller.providers.registry import InstalledProviders
from marketdata_poller.relay import Relay
from marketdata_poller.settings import Settings
from marketdata_poller.standing import Standing
from marketdata_poller.sweep import Sweep
from marketdata_poller.watch import IDLE_SECONDS, DueWatch

ROLES = ("poll", "relay", "sweep", "maintain")

_LETTERS = "letters"  # the loop, for those who look and for its own beat
_MAINTENANCE_SECONDS = 10.0
_PROMISES_SECONDS = 5.0
_TRACES_SECONDS = 2.0
# A loop of polling is woken by the watch; on its own it looks this often, should the watch be stuck.
_UNWATCHED_SECONDS = 2.0


class Poller:
    """The process: its loops, its health server and what they hold."""

    def __init__(
        self,
        *,
        settings: Settings,
        installed: InstalledProviders,
        roles: Sequence[str],
        traces: Traces,
        on_step: StepObserver,
    ) -> None:
        """Make everything; opens only the port of the health server. Misconfigured if it is taken."""
        self._settings = settings
        self._installed = installed
        self._traces = traces
        self._on_step = on_step
        self._names = settings.poller.chosen(installed.names())
        self._clock: Clock = SystemClock()
        self._stop = threading.Event()
        self._relay_wake = threading.Event()
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._engine = self._make_engine()
        self._metrics = Metrics(measures.PREFIXES)
        self._poll_measures = measures.PollMeasures(self._metrics)
        self._relay_measures = measures.RelayMeasures(self._metrics)
        self._heartbeats = Heartbeats(self._clock, limit_seconds=settings.poller.liveness_seconds)
        self._budget = PostgresBudget(self._engine)
        self._breakers = PostgresBreakers(self._engine, owner=self._owner)
        self._outbox = PostgresOutbox(self._engine)
        self._lease = timedelta(seconds=settings.poller.lease_seconds)
        self._queue = PostgresJobQueue(self._engine, owner=self._owner, lease=self._lease)
        self._outcomes = PostgresOutcomes(self._engine, poller=self._owner, lease=self._lease)
        self._supervisor = Supervisor(
            [loop for role in roles for loop in self._loops(role)],
            clock=self._clock,
            heartbeats=self._heartbeats,
            stop=self._stop,
        )
        self.health = HealthServer(
            host=settings.process.metrics_host,
            port=settings.process.metrics_port,
            heartbeats=self._heartbeats,
            registry=self._metrics.registry,
            ready=lambda: None,
        )

    def start(self) -> None:
        """Start all threads."""
        self.health.start()
        self._supervisor.start()

    def end(self) -> list[str]:
        """End all loops, give up leases, flush; return the names of loops that did not end in time."""
        unfinished = self._supervisor.end(within_seconds=self._settings.poller.stop_seconds)
        self._installed.close()
        self.health.stop()
        self._engine.dispose()
        self._traces.close(within_seconds=_TRACES_SECONDS)
        return unfinished

    def _make_engine(self) -> sa.Engine:
        # Each loop of polling and its fetch may hold a connection at once, and so may the other loops.
        threads = 2 * len(self._names) + len(ROLES) + 4
        postgres = self._settings.postgres
        sized = postgres.model_copy(update={"pool_size": max(postgres.pool_size, threads)})
        return create_engine(sized, application="marketdata-poller")

    def _loops(self, role: str) -> list[Loop]:
        make: dict[str, Callable[[], list[Loop]]] = {
            "poll": self._poll_loops,
            "relay": self._relay_loops,
            "sweep": self._sweep_loops,
            "maintain": self._maintenance_loops,
        }
        return make[role]()

    def _poll_loops(self) -> list[Loop]:
        loops = []
        for name in self._names:
            cycle = self._cycle(name, self._provider(name), loop=f"poll {name}")
            loops.append(
                Loop(
                    f"poll {name}",
                    cycle.turn,
                    _UNWATCHED_SECONDS,
                    at_defect=cycle.forget,
                    at_end=cycle.release,
                )
            )
        wakes = dict(zip(self._names, (loop.wake for loop in loops), strict=True))
        watch = DueWatch(queue=self._queue, wakes=wakes, clock=self._clock, stop=self._stop)
        orphans = Orphans(
            providers=self._names,
            budget=self._budget,
            queue=self._queue,
            cycle=self._orphan_cycle,
            clock=self._clock,
            on_step=self._on_step,
        )
        return [
            *loops,
            Loop("watch", watch.turn, IDLE_SECONDS),
            Loop("orphans", orphans.turn, _MAINTENANCE_SECONDS),
        ]

    def _relay_loops(self) -> list[Loop]:
        kafka = self._settings.kafka
        publisher = KafkaEventPublisher(config=kafka.client_config, clock=self._clock)
        relay = Relay(
            outbox=self._outbox,
            publisher=publisher,
            topic=kafka.topic,
            batch_size=self._settings.poller.relay_batch_size,
            clock=self._clock,
            measures=self._relay_measures,
            on_step=self._on_step,
            traces=self._traces,
        )
        letters_publisher = KafkaEventPublisher(config=kafka.client_config, clock=self._clock)
        letters = LetterRelay(
            letters=PostgresDeadLetterRelay(self._engine),
            publisher=letters_publisher,
            topic=kafka.topic,
            dead_letter_topic=kafka.dead_letter_topic,
            clock=self._clock,
            measures=self._relay_measures,
            on_step=self._on_step,
            beat=lambda: self._heartbeats.beat(_LETTERS),
        )
        idle = self._settings.poller.relay_idle_seconds
        return [
            Loop("relay", relay.turn, idle, at_end=publisher.close, wake=self._relay_wake),
            Loop(_LETTERS, letters.turn, idle, at_end=letters_publisher.close),
        ]

    def _sweep_loops(self) -> list[Loop]:
        sweep = Sweep(
            settlement=PostgresSettlement(self._engine), measures=self._relay_measures, on_step=self._on_step
        )
        return [Loop("sweep", sweep.turn, self._settings.poller.sweep_seconds)]

    def _maintenance_loops(self) -> list[Loop]:
        poller = self._settings.poller
        standing = Standing(
            outbox=self._outbox,
            breakers=self._breakers,
            queue=self._queue,
            providers=self._names,
            letters=PostgresDeadLetterRelay(self._engine),
            stale_jobs=PostgresStaleJobs(self._engine),
            ledger=PostgresLedger(self._engine),
            measures=measures.StandingMeasures(self._metrics),
            clock=self._clock,
        )
        maintenance = Maintenance(
            partitions=PostgresPartitions(self._engine),
            retention=Retention(
                raw_market_data=poller.raw_retention_days,
                outbox=poller.outbox_retention_days,
                polls=poller.polls_retention_days,
            ),
            rows=PostgresExpiry(self._engine),
            expiry=Expiry(
                dead_letters=poller.dead_letter_retention_days,
                poll_ledger=poller.ledger_retention_days,
                promise_ledger=poller.promise_retention_days,
            ),
            standing=standing,
            clock=self._clock,
            on_step=self._on_step,
        )
        promises = Promises(
            promises=PostgresPromises(self._engine),
            measures=PromiseMeasures(self._metrics),
            clock=self._clock,
            on_step=self._on_step,
        )
        return [
            Loop("maintenance", maintenance.turn, _MAINTENANCE_SECONDS),
            Loop("promises", promises.turn, _PROMISES_SECONDS),
        ]

    def _provider(self, name: str) -> Callable[[], Provider]:
        def use() -> Provider:
            try:
                return self._installed.get(name)
            except Permanent as error:
                return AbsentProvider(name, error)

        return use

    def _orphan_cycle(self, provider: Provider) -> PollCycle:
        return self._cycle(provider.name, lambda: provider, loop="orphans")

    def _cycle(self, name: str, provider: Callable[[], Provider], *, loop: str) -> PollCycle:
        def gate() -> SharedGate:
            return SharedGate(
                provider=name,
                capabilities=provider().capabilities,
                budget=self._budget,
                breakers=self._breakers,
                clock=self._clock,
                longest_wait_seconds=self._settings.poller.budget_wait_seconds,
                on_request=lambda endpoint, left: self._poll_measures.requested(name, endpoint, left),
                on_step=self._on_step,
            )

        return PollCycle(
            provider=name,
            max_symbols=lambda: provider().capabilities.max_symbols_per_request,
            queue=self._queue,
            outcomes=self._outcomes,
            fetcher=BoundedFetcher(provider=provider, monotonic=self._clock.monotonic),
            gates=gate,
            lease=self._lease,
            clock=self._clock,
            measures=self._poll_measures,
            stop=self._stop,
            beat=lambda: self._heartbeats.beat(loop),
            on_events=self._relay_wake.set,
            on_step=self._on_step,
            traces=self._traces,
        )
