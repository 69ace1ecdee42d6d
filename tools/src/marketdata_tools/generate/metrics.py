"""docs/reference/metrics.md: every metric of the catalogue."""

from itertools import groupby

from marketdata.telemetry.catalogue import CATALOGUE, Metric

_HEAD = """# Metrics

Made by `make generate` from `marketdata.telemetry.catalogue`; not to be edited.

Each process serves its own at `/metrics`, on `MARKETDATA_METRICS_PORT`.
A label's values are bounded as said beside it; no symbol and no job is ever a label.
"""

_TITLES = {
    "api": "api",
    "consumer": "consumer",
    "operator": "operator",
    "poller": "poller",
    "relay": "poller",
    "lag": "lag exporter",
}


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    ordered = sorted(CATALOGUE, key=lambda metric: (_owner(metric), metric.name))
    for owner, metrics in groupby(ordered, key=_owner):
        parts.append(f"\n## {owner}\n\n| Metric | Kind | Meaning | Labels |\n|---|---|---|---|\n")
        parts.extend(
            f"| `{metric.name}` | {metric.kind} | {metric.help} | {_labels(metric)} |\n" for metric in metrics
        )
    return "".join(parts)


def _owner(metric: Metric) -> str:
    return _TITLES.get(metric.name.split("_")[1], "every process")


def _labels(metric: Metric) -> str:
    return "<br>".join(f"`{label}`: {bound}" for label, bound in metric.labels.items())
