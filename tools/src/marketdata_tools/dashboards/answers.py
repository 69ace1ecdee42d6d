"""What Prometheus answers to the queries of a dashboard over a span of time, as a panel needs it.

For pictures in documents: reads the JSON that ships, and asks as Grafana would.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

# Grafana's own variable; at a scrape each 15 s it is four of them.
_BUILT_IN = {"__rate_interval": "1m"}
_WITHIN_SECONDS = 30

Ask = Callable[[str], list[dict[str, Any]]]
"""From an expression to the `result` of a query_range answer."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel: its legend, and (Unix time, value) without gaps that are no numbers."""

    legend: str
    points: tuple[tuple[float, float], ...]


def fill(expression: str, variables: Mapping[str, str]) -> str:
    """Return `expression` with its variables replaced; raises KeyError for one without a value."""
    given = {**_BUILT_IN, **variables}
    return re.sub(r"\$(\w+)", lambda found: given[found[1]], expression)


def panels(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels that show data, those inside of rows too."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or ()
        else:
            yield panel


def lines(panel: Mapping[str, Any], variables: Mapping[str, str], ask: Ask) -> list[Line]:
    """Return the lines of `panel` in the order of its queries, of each query by legend."""
    found: list[Line] = []
    for target in panel["targets"]:
        result = ask(fill(target["expr"], variables))
        found += sorted(
            (
                Line(_legend(target["legendFormat"], each["metric"]), _numbers(each["values"]))
                for each in result
            ),
            key=lambda line: line.legend,
        )
    return [line for line in found if line.points]


def asking(url: str, *, start: float, end: float, step: float) -> Ask:
    """Return what asks the Prometheus at `url`; blocks, and raises OSError where it is not there."""

    def ask(expression: str) -> list[dict[str, Any]]:
        query = urlencode({"query": expression, "start": start, "end": end, "step": step})
        with urlopen(f"{url}/api/v1/query_range?{query}", timeout=_WITHIN_SECONDS) as answer:  # noqa: S310 - given by who runs it
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    return ask


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form).strip() or "none"


def _numbers(values: list[tuple[float, str]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(at), float(text)) for at, text in values if math.isfinite(float(text)))
