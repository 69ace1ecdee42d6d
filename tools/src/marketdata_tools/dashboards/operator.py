"""Whether what people wrote in PollingJobs is what is polled, and whether they are told."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from marketdata_tools.dashboards.frame import framed
from marketdata_tools.dashboards.panels import Limits, Query, course, number
from marketdata_tools.dashboards.promql import most, or_zero, quantile, rate, total

_P = "marketdata_operator_"


def operator() -> Dashboard:
    """Return the dashboard."""
    return framed(
        "operator",
        "Operator",
        "Whether PollingJobs reach the database and their status reaches people.",
        {
            "Now": [
                number(
                    "Changes not written", "PollingJobs whose change is not in the database yet.",
                    Query(most(_P + "dirty_objects"), "objects"), unit="short", limits=Limits(warn=100),
                ),
                number(
                    "Last full comparison", "Time since everything was last compared and found written.",
                    Query(most(_P + "sweep_age_seconds"), "age"),
                    unit="s", limits=Limits(warn=300, wrong=900),
                ),
                number(
                    "Statuses waiting", "Statuses that wait for their turn to be written.",
                    Query(most(_P + "pending_statuses"), "statuses"), unit="short", limits=Limits(warn=500),
                ),
                number(
                    "Rows held by the brake",
                    "Jobs whose objects are gone without a word, polled on until a second comparison agrees.",
                    Query(most(_P + "held_rows"), "rows"), unit="short", limits=Limits(warn=1),
                ),
                number(
                    "PollingJobs ready", "PollingJobs whose Ready is True.",
                    Query(or_zero(total(_P + "jobs", where='condition="Ready",status="True"')), "jobs"),
                    unit="short", limits=Limits(),
                ),
                number(
                    "Last word of the watch",
                    "Time since Kubernetes last told of an object; long where nothing changes.",
                    Query(most(_P + "watch_event_age_seconds"), "age"), unit="s", limits=Limits(),
                ),
            ],
            "Work": [
                course(
                    "Durations",
                    "Nineteen of twenty drains of changes and full comparisons take at most this.",
                    [Query(quantile(0.95, _P + "reconcile_seconds", "kind"), "{{kind}}")], unit="s",
                ),
                course(
                    "Rows written", "Rows of polling jobs created, changed and retired.",
                    [Query(or_zero(rate(_P + "rows_total", "change")), "{{change}}")], unit="cps",
                ),
                course(
                    "Writes to Kubernetes", "Statuses and events, by what became of them.",
                    [Query(or_zero(rate(_P + "writes_total", "what", "outcome")), "{{what}} {{outcome}}")],
                    unit="cps",
                ),
            ],
            "Jobs": [
                course(
                    "Conditions", "PollingJobs by condition and its status.",
                    [Query(total(_P + "jobs", "condition", "status"), "{{condition}} {{status}}")],
                    unit="short",
                ),
                course(
                    "Reasons", "PollingJobs whose conditions are not True, by the reason.",
                    [
                        Query(
                            or_zero(total(_P + "jobs", "condition", "reason", where='status!="True"')),
                            "{{condition}} {{reason}}",
                        )
                    ],
                    unit="short", is_stacked=True,
                ),
                course(
                    "Watch and brake", "How often the watch was begun again and the brake came on.",
                    [
                        Query(rate(_P + "watch_restarts_total"), "watch begun again"),
                        Query(rate(_P + "brake_trips_total"), "brake on"),
                    ],
                    unit="cps",
                ),
            ],
        },
    )  # fmt: skip
