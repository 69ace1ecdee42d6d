"""The Prometheus rendering of the catalogue.

A metric is looked up by its name, so a name that is not in the catalogue is an error at start,
not a silent gap on a dashboard.
"""

from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from marketdata.telemetry.catalogue import CATALOGUE
from marketdata.telemetry.table import Table


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        """Create the catalogue's metrics whose names begin with one of `prefixes`."""
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram | Table] = {}
        for metric in CATALOGUE:
            if not metric.name.startswith(prefixes):
                continue
            labels = tuple(metric.labels)
            if metric.whole:
                self._made[metric.name] = table = Table(metric)
                self.registry.register(table)
            elif metric.kind == "histogram":
                self._made[metric.name] = Histogram(
                    metric.name, metric.help, labels, buckets=metric.buckets, registry=self.registry
                )
            else:
                kind = Counter if metric.kind == "counter" else Gauge
                self._made[metric.name] = kind(metric.name, metric.help, labels, registry=self.registry)

    def counter(self, name: str) -> Counter:
        return cast("Counter", self._made[name])

    def gauge(self, name: str) -> Gauge:
        return cast("Gauge", self._made[name])

    def histogram(self, name: str) -> Histogram:
        return cast("Histogram", self._made[name])

    def table(self, name: str) -> Table:
        return cast("Table", self._made[name])
