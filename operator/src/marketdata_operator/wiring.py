"""Where the operator's objects are made, and where types check that adapters fit ports."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from marketdata.clock import Clock
from marketdata.steps import StepObserver
from marketdata.storage.engine import create_engine
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_status import PostgresJobStatus
from marketdata.telemetry.health import HealthServer, Heartbeats
from marketdata.telemetry.metrics import Metrics
from marketdata.telemetry.traces import Traces
from marketdata_operator.api_server import ApiServer
from marketdata_operator.board import Board
from marketdata_operator.connection import connection, for_the_watch
from marketdata_operator.reconciler import Reconciler
from marketdata_operator.reporter import Reporter
from marketdata_operator.settings import Settings
from marketdata_operator.telemetry import OperatorMetrics
from marketdata_operator.watch import Watch

_PERIODS = 3
_SHORTEST_LIMIT_SECONDS = 90.0  # a list, a statement and an apply at their own limits, one after another

Loop = Callable[[threading.Event, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Wired:
    """What the process runs: each loop in a thread of its own, under its name."""

    loops: dict[str, Loop]
    board: Board
    heartbeats: Heartbeats
    health: HealthServer
    api_server: ApiServer
    traces: Traces


def wire(settings: Settings, clock: Clock, on_step: StepObserver, traces: Traces) -> Wired:
    """Make everything; connects to nothing.

    Raises Misconfigured, and OSError if the metrics port is taken.
    """
    board = Board()
    admission = settings.admission()
    namespaces = settings.operator.watched()
    metrics = OperatorMetrics(Metrics(("marketdata_operator_",)), board=board, clock=clock)
    engine = create_engine(settings.postgres, application="marketdata-operator")
    statuses = PostgresJobStatus(engine, release=admission.release, namespaces=namespaces)
    api_server = ApiServer(connection(), namespaces=namespaces, clock=clock)
    reconciler = Reconciler(
        board=board,
        kubernetes=api_server,
        book=PostgresJobBook(engine),
        statuses=statuses,
        admission=admission,
        clock=clock,
        metrics=metrics,
        sweep_seconds=settings.operator.sweep_seconds,
        on_step=on_step,
        traces=traces,
    )
    reporter = Reporter(
        board=board,
        kubernetes=api_server,
        statuses=statuses,
        clock=clock,
        metrics=metrics,
        writes_per_second=settings.operator.status_writes_per_second,
        on_step=on_step,
    )
    watch = Watch(
        board=board,
        admission=admission,
        namespaces=namespaces,
        login=for_the_watch,
        ready=reconciler.listed,
        clock=clock,
        metrics=metrics,
    )

    def why_not_ready() -> str | None:
        return (
            reporter.why_not() if reconciler.listed.is_set() else "the PollingJobs have not been listed yet"
        )

    heartbeats = Heartbeats(
        clock, limit_seconds=max(_SHORTEST_LIMIT_SECONDS, _PERIODS * settings.operator.sweep_seconds)
    )
    health = HealthServer(
        host=settings.process.metrics_host,
        port=settings.process.metrics_port,
        heartbeats=heartbeats,
        registry=metrics.registry,
        ready=why_not_ready,
    )
    return Wired(
        loops={"reconcile": reconciler.run, "report": reporter.run, "watch": watch.run},
        board=board,
        heartbeats=heartbeats,
        health=health,
        api_server=api_server,
        traces=traces,
    )
