"""The few forms of PromQL that the dashboards are written in.

A metric's name is looked up in the catalogue, so that a dashboard cannot ask for what no process
says. Every selector is of one release in one namespace.
"""

from marketdata.telemetry.catalogue import CATALOGUE

NAMESPACE_LABEL = "namespace"
RELEASE_LABEL = "app_kubernetes_io_instance"
COMPONENT_LABEL = "app_kubernetes_io_component"
TARGET_LABELS = frozenset({NAMESPACE_LABEL, RELEASE_LABEL, COMPONENT_LABEL, "pod"})
SCRAPED = "up"
ALERTS = "ALERTS"
_OF_RELEASE = f'{NAMESPACE_LABEL}="$namespace",{RELEASE_LABEL}="$release"'
_WINDOW = "$__rate_interval"
_NAMES = {SCRAPED} | {
    metric.name + suffix
    for metric in CATALOGUE
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


class UnknownMetric(Exception):
    """A metric that the catalogue does not have."""


def series(name: str, where: str = "") -> str:
    """Return the selector of `name` in the chosen release, narrowed by `where`."""
    if name not in _NAMES:
        raise UnknownMetric(name)
    return f"{name}{{{_OF_RELEASE}{',' + where if where else ''}}}"


def total(name: str, *by: str, where: str = "") -> str:
    """Return the sum of a gauge over all pods."""
    return _over("sum", series(name, where), by)


def most(name: str, *by: str, where: str = "") -> str:
    """Return the greatest of a gauge, for what several pods say about the same thing."""
    return _over("max", series(name, where), by)


def least(name: str, *by: str, where: str = "") -> str:
    """Return the smallest of a gauge, for what only shrinks until it is seen again."""
    return _over("min", series(name, where), by)


def rate(name: str, *by: str, where: str = "") -> str:
    """Return how often a counter's event happens, a second."""
    return _over("sum", f"rate({series(name, where)}[{_WINDOW}])", by)


def quantile(share: float, name: str, *by: str, where: str = "") -> str:
    """Return the value that `share` of a histogram's observations are at or under."""
    buckets = _over("sum", f"rate({series(name + '_bucket', where)}[{_WINDOW}])", ("le", *by))
    return f"histogram_quantile({share}, {buckets})"


def mean(name: str, *by: str, where: str = "") -> str:
    """Return the mean of a histogram's observations."""
    return f"{rate(name + '_sum', *by, where=where)} / {rate(name + '_count', *by, where=where)}"


def share(part: str, whole: str, told: str) -> str:
    """Return `part` of `whole`, 0 where nothing happened and `told` says that it would be known."""
    return zero_while(told, f"({part} or vector(0)) / ({whole} > 0)")


def or_zero(expression: str) -> str:
    """Return `expression`, or 0 where it has no series because nothing has happened yet."""
    return f"{expression} or on() vector(0)"


def zero_while(told: str, expression: str) -> str:
    """Return `expression`, 0 where it has no series although `told` has one, and nothing without `told`.

    For what is absent both when there is none and when nobody knows: the two must not look the same.
    """
    return f"{expression} or on() 0 * {told}"


def _over(operator: str, expression: str, by: tuple[str, ...]) -> str:
    return f"{operator} by ({', '.join(by)}) ({expression})" if by else f"{operator}({expression})"
