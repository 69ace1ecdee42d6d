"""What the lag exporter shows; names and meanings are in the catalogue.

The gauges are rendered from one lag at each scrape, so that no scrape comes between them, finds a
part of them or finds one that is no longer known.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from marketdata.telemetry.catalogue import LAG
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer.lag import Lag

_DEFINED = {metric.name: metric for metric in LAG}


class LagMeasures(Collector):
    """The gauges of one group and topic, and the counts of asking."""

    def __init__(self, metrics: Metrics, *, group: str, topic: str) -> None:
        self._labels = [group, topic]
        self._lag: Lag | None = None
        self._rounds = metrics.counter("marketdata_lag_rounds_total")
        self._round = metrics.histogram("marketdata_lag_round_seconds")
        metrics.registry.register(self)

    def show(self, lag: Lag, seconds: float) -> None:
        """Show `lag`, which took `seconds` to ask for; what it does not tell is absent."""
        self._lag = lag
        self._rounds.labels("answered").inc()
        self._round.observe(seconds)

    def unknown(self) -> None:
        """Show that the lag is not known."""
        self._lag = None
        self._rounds.labels("unanswered").inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._lag
        yield self._gauge("up", {(): 0.0 if now is None else 1.0})
        if now is None:
            return
        yield self._gauge("messages", {(str(p),): float(count) for p, count in now.messages.items()})
        yield self._gauge("seconds", {(str(p),): age for p, age in now.seconds.items()})
        yield self._gauge("sum_messages", {(): float(now.total)})
        yield self._gauge("partitions", {(): float(len(now.messages))})
        if now.longest_seconds is not None:
            yield self._gauge("longest_seconds", {(): now.longest_seconds})

    def _gauge(self, name: str, values: dict[tuple[str, ...], float]) -> GaugeMetricFamily:
        metric = _DEFINED[f"marketdata_lag_{name}"]
        gauge = GaugeMetricFamily(metric.name, metric.help, labels=list(metric.labels))
        for labels, value in values.items():
            gauge.add_metric([*self._labels, *labels], value)
        return gauge
