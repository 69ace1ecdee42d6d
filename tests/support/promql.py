"""Reads PromQL with a real parser and says what it asks for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

from marketdata.telemetry.catalogue import CATALOGUE

# What Prometheus and prometheus-operator put beside a metric's own labels.
TARGET = frozenset({"namespace", "pod", "app_kubernetes_io_component", "app_kubernetes_io_instance"})
_ALERTS = frozenset({"alertname", "alertstate", "severity", "namespace", "release"})


def names() -> dict[str, frozenset[str]]:
    """Return every name that may be asked for, with its labels: the catalogue's and Prometheus' own."""
    known = {"up": TARGET, "ALERTS": _ALERTS}
    for metric in CATALOGUE:
        labels = TARGET | metric.labels.keys()
        if metric.kind == "histogram":
            known |= {metric.name + suffix: labels for suffix in ("_sum", "_count")}
            known[metric.name + "_bucket"] = labels | {"le"}
        else:
            known[metric.name] = labels
    return known


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric that is asked for, the labels it is chosen and grouped by, and those the answer keeps.

    `values` are the words that labels are compared with, patterns left out.
    """

    name: str
    matched: frozenset[str]
    grouped: frozenset[str]
    kept: frozenset[str]
    values: tuple[tuple[str, str], ...]
    text: str


def selectors(expression: str) -> list[Selector]:
    """Return what `expression` asks for; raises ValueError where it is no PromQL."""
    return list(_within(promql_parser.parse(expression), []))


def _within(node: Any, around: list[frozenset[str]]) -> Iterator[Selector]:
    match node:
        case promql_parser.VectorSelector():
            matched = frozenset(each.name for each in node.matchers.matchers) - {"__name__"}
            grouped = frozenset[str]().union(*around)
            compared = tuple(
                (each.name, word)
                for each in node.matchers.matchers
                for word in each.value.split("|")
                if re.fullmatch(r"\w+", word)
            )
            kept = around[0] if around else frozenset[str]()
            yield Selector(node.name or "", matched, grouped, kept, compared, _without_offset(node))
        case promql_parser.MatrixSelector():
            yield from _within(node.vector_selector, around)
        case promql_parser.AggregateExpr():
            labels = frozenset(node.modifier.labels if node.modifier else ())
            yield from _within(node.expr, [*around, labels])
        case promql_parser.Call():
            for each in node.args:
                yield from _within(each, around)
        case promql_parser.BinaryExpr():
            yield from _within(node.lhs, around)
            yield from _within(node.rhs, around)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _within(node.expr, around)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise TypeError(f"{type(node).__name__} is not known here")


def _without_offset(selector: promql_parser.VectorSelector) -> str:
    return re.sub(r"\} (offset|@) .*", "}", str(selector))


def strangers(expression: str) -> list[str]:
    """Return the metrics, labels and values of `expression` that no process and no scrape has.

    Values are known of the labels whose bound in the catalogue lists them.
    """
    known = names()
    listed = {
        (metric.name, label): set(re.findall(r"\w+", bound))
        for metric in CATALOGUE
        for label, bound in metric.labels.items()
        if not bound.startswith("the ")
    }
    found = []
    for each in selectors(expression):
        if each.name not in known:
            found.append(each.name)
        else:
            found += [f"{each.name}.{label}" for label in (each.matched | each.grouped) - known[each.name]]
            found += [
                f"{each.name}.{label}={value}"
                for label, value in each.values
                if value not in listed.get((each.name, label), {value})
            ]
    return found
