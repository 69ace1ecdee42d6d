"""A metric whose series are shown together, as one value.

For what is looked up as a whole: a scrape finds the series of one look, never a part of them, and
none at all once they are not known. Beside it stands `prometheus_client`, for what is counted where
it happens.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from marketdata.telemetry.catalogue import Metric


class Table(Collector):
    """One gauge or counter of the catalogue; safe to use from several threads.

    A series of a counter is told as 0 once, whatever it has counted by then: to Prometheus the value
    that a series begins with is no increase.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._values: Mapping[tuple[str, ...], float] = {}
        self._begun: frozenset[tuple[str, ...]] = frozenset()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these series, named by the values of their labels in order, and no others."""
        self._values = dict(values)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        metric, values = self._metric, self._values
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=list(metric.labels))
        for labels, value in values.items():
            begins = metric.kind == "counter" and labels not in self._begun
            family.add_metric(labels, 0.0 if begins else value)
        self._begun = self._begun | values.keys()
        yield family
