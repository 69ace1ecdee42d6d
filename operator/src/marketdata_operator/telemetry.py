"""The operator's metrics: what the loops say, rendered for Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from marketdata.clock import Clock
from marketdata.storage.job_book import SyncCounts
from marketdata.telemetry.metrics import Metrics
from marketdata_operator.board import Board
from marketdata_operator.status import Status

_P = "marketdata_operator_"


class OperatorMetrics:
    """What is counted and measured; safe to use from several threads."""

    def __init__(self, metrics: Metrics, *, board: Board, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._since = {"sweep": clock.monotonic(), "watch": clock.monotonic()}
        self._shown: set[tuple[str, str, str]] = set()
        metrics.gauge(_P + "dirty_objects").set_function(board.waiting)
        metrics.gauge(_P + "sweep_age_seconds").set_function(lambda: self._age("sweep"))
        metrics.gauge(_P + "watch_event_age_seconds").set_function(lambda: self._age("watch"))

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @contextmanager
    def reconciling(self, kind: str) -> Iterator[None]:
        """Measure a drain or a sweep, failed ones too."""
        with self._metrics.histogram(_P + "reconcile_seconds").labels(kind).time():
            yield

    def swept(self) -> None:
        self._since["sweep"] = self._clock.monotonic()

    def watched(self) -> None:
        self._since["watch"] = self._clock.monotonic()

    def watch_ended(self) -> None:
        self._metrics.counter(_P + "watch_restarts_total").inc()

    def synced(self, counts: SyncCounts) -> None:
        rows = self._metrics.counter(_P + "rows_total")
        for change, count in (
            ("created", counts.created),
            ("changed", counts.changed),
            ("retired", counts.retired),
        ):
            rows.labels(change).inc(count)

    def braked(self, held: int, *, is_new: bool) -> None:
        self._metrics.gauge(_P + "held_rows").set(held)
        if is_new:
            self._metrics.counter(_P + "brake_trips_total").inc()

    def wrote(self, what: str, outcome: str) -> None:
        """Count a write to the API server: `what` is status or event."""
        self._metrics.counter(_P + "writes_total").labels(what, outcome).inc()

    def pending(self, count: int) -> None:
        self._metrics.gauge(_P + "pending_statuses").set(count)

    def show(self, statuses: Iterable[Status]) -> None:
        """Set how many objects have each condition."""
        counts = Counter(
            (each.type, each.status, each.reason) for status in statuses for each in status.conditions
        )
        gauge = self._metrics.gauge(_P + "jobs")
        for labels in self._shown - counts.keys():
            gauge.labels(*labels).set(0)
        for labels, count in counts.items():
            gauge.labels(*labels).set(count)
        self._shown |= counts.keys()

    def _age(self, what: str) -> float:
        return self._clock.monotonic() - self._since[what]
