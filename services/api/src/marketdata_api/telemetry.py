"""What the API counts.

A request costs some twenty microseconds, and counting it in prometheus_client's locked objects a
fifth of that. So the event loop, the only writer, counts in plain integers, and the scrape, which
comes from another thread, renders them: a reader may see a count one request behind, never a torn
one.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from marketdata.telemetry.catalogue import CATALOGUE
from marketdata.telemetry.metrics import Metrics

LATEST_ROUTE = "/prices/latest"
SOURCES = ("HIT", "MISS", "BYPASS")
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
_DEFINED = {metric.name: metric for metric in CATALOGUE}
_REQUESTS = _DEFINED["marketdata_api_requests_total"]
_SECONDS = _DEFINED["marketdata_api_request_seconds"]
_SOURCES = _DEFINED["marketdata_api_latest_answers_total"]


class _Timed:
    """One histogram: how many fell into each bucket, the last being beyond all bounds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS.buckets) + 1)
        self.total = 0.0


class _Tallies(Collector):
    """The integers, and their rendering."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        self.seconds: dict[str, _Timed] = {}
        self.sources = dict.fromkeys(SOURCES, 0)

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        requests = CounterMetricFamily(_REQUESTS.name, _REQUESTS.help, labels=list(_REQUESTS.labels))
        for (route, method, status), count in list(self.requests.items()):
            requests.add_metric([route, method, str(status)], count)
        yield requests
        sources = CounterMetricFamily(_SOURCES.name, _SOURCES.help, labels=list(_SOURCES.labels))
        for source, count in self.sources.items():
            sources.add_metric([source], count)
        yield sources
        seconds = HistogramMetricFamily(_SECONDS.name, _SECONDS.help, labels=list(_SECONDS.labels))
        for route, timed in list(self.seconds.items()):
            seconds.add_metric([route], _cumulated(timed.counts), timed.total)
        yield seconds


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    so_far, buckets = 0, []
    for bound, count in zip((*map(str, _SECONDS.buckets), "+Inf"), list(counts), strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets


def method_label(method: str) -> str:
    """Return the method as a label: a known one, or OTHER, for clients make some up."""
    return method if method in _METHODS else "OTHER"


class ApiMetrics:
    """Counts requests by route, method and status, where latest prices came from, and outages."""

    def __init__(self) -> None:
        metrics = Metrics(("marketdata_api_dependency_", "marketdata_api_keys_"))
        self._away = metrics.gauge("marketdata_api_dependency_away")
        self.keys_unreadable = metrics.gauge("marketdata_api_keys_unreadable")
        self._tallies = _Tallies()
        self.registry: CollectorRegistry = metrics.registry
        self.registry.register(self._tallies)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is a template, never a path that a client made up."""
        key = (route, method_label(method), status)
        requests = self._tallies.requests
        requests[key] = requests.get(key, 0) + 1
        timed = self._tallies.seconds.get(route)
        if timed is None:
            timed = self._tallies.seconds[route] = _Timed()
        timed.counts[bisect_left(_SECONDS.buckets, seconds)] += 1
        timed.total += seconds

    def latest(self, source: str) -> None:
        """Count where a latest price came from."""
        self._tallies.sources[source] += 1

    def dependency(self, name: str) -> Gauge:
        """Return the gauge that is 1 while the dependency is away."""
        gauge = self._away.labels(name)
        gauge.set(0)
        return gauge
