"""The first look: is it healthy, is anything late, is anything lost."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from marketdata_tools.dashboards.frame import framed
from marketdata_tools.dashboards.panels import Limits, Query, course, number
from marketdata_tools.dashboards.promql import (
    ALERTS,
    COMPONENT_LABEL,
    SCRAPED,
    mean,
    most,
    or_zero,
    quantile,
    rate,
    series,
    share,
    total,
    zero_while,
)

_API = f'{COMPONENT_LABEL}="api"'
# Absent, as all that waits in the database, while no poller can read it.
_READ = most("marketdata_poller_outbox_age_seconds", where='state="unpublished"')
_JOBS = "marketdata_operator_jobs"
_FIRING = f'count({ALERTS}{{alertstate="firing",namespace="$namespace",release="$release"}})'


def overview() -> Dashboard:
    """Return the dashboard."""
    return framed(
        "overview",
        "Overview",
        "Whether the release is healthy, and whether anything is late or lost.",
        {
            "Is it healthy?": [
                number(
                    "Alerts firing",
                    "Alerts of this release that are firing now; each has a runbook of its name.",
                    Query(or_zero(_FIRING), "firing"),
                    unit="short", limits=Limits(wrong=1), width=3,
                ),
                number(
                    "Pods not answering",
                    "Pods whose metrics could not be read at the last try.",
                    Query(
                        zero_while(f"count({series(SCRAPED)})", f"count({series(SCRAPED)} == 0)"), "pods"
                    ),
                    unit="short", limits=Limits(wrong=1), width=3,
                ),
                number(
                    "Ledger imbalance",
                    "What the two ledgers are off by; anything but 0 breaks the promise that nothing "
                    "is lost or counted twice.",
                    Query(f"max(abs({series('marketdata_poller_ledger_imbalance')}))", "off by"),
                    unit="short", limits=Limits(wrong=1), width=3,
                ),
                number(
                    "Jobs with stale prices",
                    "Jobs with a price not confirmed within what they promise, those of REST included.",
                    Query(
                        zero_while(_READ, f"sum({most('marketdata_poller_stale_jobs', 'provider')})"), "jobs"
                    ),
                    unit="short", limits=Limits(warn=1), width=3,
                ),
                number(
                    "Oldest due job",
                    "How late the oldest due job is that no poller has taken.",
                    Query(most("marketdata_poller_due_lateness_seconds"), "late"),
                    unit="s", limits=Limits(warn=5, wrong=30), width=3,
                ),
                number(
                    "Oldest unpublished",
                    "How long the oldest event of the outbox has waited for Kafka.",
                    Query(_READ, "age"),
                    unit="s", limits=Limits(warn=30, wrong=120), width=3,
                ),
                number(
                    "Lag",
                    "How long the first message that is not consumed has been in its partition.",
                    Query(most("marketdata_lag_longest_seconds"), "behind"),
                    unit="s", limits=Limits(warn=30, wrong=300), width=3,
                ),
                number(
                    "Failed requests",
                    "Requests that the API answered with 5xx, of all.",
                    Query(
                        share(
                            rate("marketdata_api_requests_total", where='status=~"5.."'),
                            rate("marketdata_api_requests_total"),
                            total(SCRAPED, where=_API),
                        ),
                        "5xx",
                    ),
                    unit="percentunit", limits=Limits(warn=0.001, wrong=0.01), width=3,
                ),
            ],
            "Is anything late?": [
                course(
                    "Lateness of polls",
                    "From a job's due time to its claim: nineteen of twenty jobs are at or under this.",
                    [Query(quantile(0.95, "marketdata_poller_lateness_seconds", "provider"), "{{provider}}")],
                    unit="s", limits=Limits(warn=5),
                ),
                course(
                    "Where the age of a price arose",
                    "On average: until it was asked for, until it was answered, until Kafka had it, until it "
                    "could be read.",
                    [Query(mean("marketdata_price_age_seconds", "part"), "{{part}}")],
                    unit="s", is_stacked=True,
                ),
                course(
                    "Jobs with stale prices, by provider",
                    "Jobs with a price not confirmed within what they promise.",
                    [
                        Query(
                            zero_while(_READ, most("marketdata_poller_stale_jobs", "provider")),
                            "{{provider}}",
                        )
                    ],
                    unit="short", limits=Limits(warn=1),
                ),
            ],
            "Are PollingJobs kept?": [
                course(
                    "PollingJobs by condition",
                    "How many have each condition true, false or unknown.",
                    [Query(total(_JOBS, "condition", "status"), "{{condition}} {{status}}")],
                    unit="short",
                ),
                course(
                    "Why jobs are not ready",
                    "PollingJobs whose Ready is not True, by its reason.",
                    [
                        Query(
                            or_zero(total(_JOBS, "reason", where='condition="Ready",status!="True"')),
                            "{{reason}}",
                        )
                    ],
                    unit="short", is_stacked=True,
                ),
                course(
                    "Pods that answer",
                    "Pods of each component whose metrics can be read.",
                    [Query(total(SCRAPED, COMPONENT_LABEL), f"{{{{{COMPONENT_LABEL}}}}}")],
                    unit="short",
                ),
            ],
            "Is anything lost?": [
                course(
                    "Symbols without a price, by provider and reason",
                    "Symbols that were asked for and failed or were skipped.",
                    [
                        Query(
                            or_zero(
                                rate(
                                    "marketdata_poller_symbols_total", "provider", "reason",
                                    where='outcome=~"failed|skipped"',
                                )
                            ),
                            "{{provider}} {{reason}}",
                        )
                    ],
                    unit="cps",
                ),
                course(
                    "Events settled",
                    "What became of events: stored and superseded are well; dead could never be stored, "
                    "lost ones are published again.",
                    [Query(rate("marketdata_poller_settled_total", "verdict"), "{{verdict}}")],
                    unit="cps",
                ),
                course(
                    "Dead letters kept",
                    "By what they wait for; a decision is to replay them or to leave them.",
                    [Query(most("marketdata_poller_dead_letters_waiting", "awaits"), "{{awaits}}")],
                    unit="short",
                ),
            ],
        },
    )  # fmt: skip
