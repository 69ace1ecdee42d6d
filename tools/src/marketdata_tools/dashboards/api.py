"""What callers of the API get: how much, how fast, how often not."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from marketdata_tools.dashboards.frame import framed
from marketdata_tools.dashboards.panels import Limits, Query, course, number
from marketdata_tools.dashboards.promql import (
    COMPONENT_LABEL,
    SCRAPED,
    or_zero,
    quantile,
    rate,
    share,
    total,
    zero_while,
)

_REQUESTS = "marketdata_api_requests_total"
_SECONDS = "marketdata_api_request_seconds"
_ANSWERS = "marketdata_api_latest_answers_total"
_PODS = total(SCRAPED, where=f'{COMPONENT_LABEL}="api"')


def api() -> Dashboard:
    """Return the dashboard."""
    return framed(
        "api",
        "API",
        "Requests, errors and durations of the API, and where latest prices come from.",
        {
            "Now": [
                number(
                    "Requests", "Requests answered a second.",
                    Query(zero_while(_PODS, rate(_REQUESTS)), "requests"),
                    unit="reqps", limits=Limits(),
                ),
                number(
                    "Failed requests", "Answers with 5xx, of all.",
                    Query(share(rate(_REQUESTS, where='status=~"5.."'), rate(_REQUESTS), _PODS), "5xx"),
                    unit="percentunit", limits=Limits(warn=0.001, wrong=0.01),
                ),
                number(
                    "Duration, 95 of 100", "From the request's headers to the end of its answer.",
                    Query(quantile(0.95, _SECONDS), "p95"),
                    unit="s", limits=Limits(warn=0.1, wrong=0.5),
                ),
                number(
                    "From the cache", "Latest prices that Redis had, of all.",
                    Query(share(rate(_ANSWERS, where='source="HIT"'), rate(_ANSWERS), _PODS), "hits"),
                    unit="percentunit", limits=Limits(),
                ),
                number(
                    "Dependencies away", "Dependencies out of reach, counted for each pod.",
                    Query(zero_while(_PODS, total("marketdata_api_dependency_away")), "away"),
                    unit="short", limits=Limits(warn=1),
                ),
                number(
                    "Pods that answer", "Pods of the API whose metrics can be read.",
                    Query(_PODS, "pods"),
                    unit="short", limits=Limits(wrong=1, warn=1, is_low_bad=True),
                ),
            ],
            "Requests": [
                course(
                    "Requests by route", "Requests answered a second.",
                    [Query(rate(_REQUESTS, "route"), "{{route}}")], unit="reqps", is_stacked=True,
                ),
                course(
                    "Requests by status", "Requests answered a second.",
                    [Query(rate(_REQUESTS, "status"), "{{status}}")], unit="reqps", is_stacked=True,
                ),
                course(
                    "Duration by route", "Nineteen of twenty answers end within this.",
                    [Query(quantile(0.95, _SECONDS, "route"), "{{route}}")],
                    unit="s", limits=Limits(warn=0.1, wrong=0.5),
                ),
            ],
            "Where answers come from": [
                course(
                    "Duration of all routes",
                    "Half, nineteen of twenty and 99 of 100 answers end within this.",
                    [Query(quantile(part, _SECONDS), f"p{part * 100:g}") for part in (0.5, 0.95, 0.99)],
                    unit="s", limits=Limits(warn=0.1, wrong=0.5),
                ),
                course(
                    "Latest prices by source",
                    "HIT is Redis; MISS is PostgreSQL where Redis had nothing, BYPASS where it was away.",
                    [Query(or_zero(rate(_ANSWERS, "source")), "{{source}}")], unit="reqps", is_stacked=True,
                ),
                course(
                    "Pods without a dependency", "How many pods cannot reach each.",
                    [Query(or_zero(total("marketdata_api_dependency_away", "dependency")), "{{dependency}}")],
                    unit="short", limits=Limits(warn=1),
                ),
            ],
        },
    )  # fmt: skip
