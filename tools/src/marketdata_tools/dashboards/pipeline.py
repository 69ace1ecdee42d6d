"""The way of a price: poll, outbox, Kafka, store, cache; where it waits and what it meets."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from marketdata_tools.dashboards.frame import framed
from marketdata_tools.dashboards.panels import Limits, Query, course
from marketdata_tools.dashboards.promql import (
    COMPONENT_LABEL,
    SCRAPED,
    least,
    mean,
    most,
    or_zero,
    quantile,
    rate,
    series,
    total,
    zero_while,
)

_P = "marketdata_poller_"
_C = "marketdata_consumer_"
_PARTS = {
    "provider": "Age of a price when it was asked for: what no poll can make better.",
    "fetch": "From the question to the provider's answer.",
    "publish": "From the answer to Kafka's receipt.",
    "store": "From Kafka's receipt to being readable, of each batch the event that waited longest.",
}


def pipeline() -> Dashboard:
    """Return the dashboard."""
    return framed(
        "pipeline",
        "Pipeline",
        "The way of a price from the provider to the cache, and where it waits.",
        {
            "Poll": [
                course(
                    "Polls", "Polls recorded, by provider and result; ok is at least one price.",
                    [Query(rate(_P + "polls_total", "provider", "result"), "{{provider}} {{result}}")],
                    unit="cps",
                ),
                course(
                    "Symbols", "Outcomes of the symbols asked for.",
                    [Query(rate(_P + "symbols_total", "provider", "outcome"), "{{provider}} {{outcome}}")],
                    unit="cps", is_stacked=True,
                ),
                course(
                    "Fetch", "Nineteen of twenty fetches take at most this, waiting for budget included.",
                    [Query(quantile(0.95, _P + "fetch_seconds", "provider"), "{{provider}}")],
                    unit="s", limits=Limits(warn=5),
                ),
                course(
                    "Upstream requests", "Requests let through to each provider.",
                    [
                        Query(
                            or_zero(rate(_P + "upstream_requests_total", "provider", "upstream")),
                            "{{provider}} {{upstream}}",
                        )
                    ],
                    unit="reqps",
                ),
                course(
                    "Budget left", "Requests that the deployment may still send, as last seen.",
                    [Query(or_zero(least(_P + "budget_left", "provider")), "{{provider}}")], unit="short",
                ),
                course(
                    "Breakers", "2 is open, 1 is half open; closed ones are not shown.",
                    [
                        Query(
                            zero_while(
                                most(_P + "outbox_age_seconds", where='state="unpublished"'),
                                most(_P + "breaker_state", "provider", "upstream"),
                            ),
                            "{{provider}} {{upstream}}",
                        )
                    ],
                    unit="short", limits=Limits(warn=1, wrong=2),
                ),
            ],
            "Outbox and relay": [
                course(
                    "Events waiting", "Unpublished events, and those published whose fate is not settled.",
                    [Query(most(_P + "outbox_rows", "state"), "{{state}}")], unit="short",
                ),
                course(
                    "Age of the oldest", "Of the oldest unpublished and the oldest open event.",
                    [Query(most(_P + "outbox_age_seconds", "state"), "{{state}}")],
                    unit="s", limits=Limits(warn=30, wrong=120),
                ),
                course(
                    "Published", "Events handed to Kafka; undelivered ones are tried again.",
                    [Query(rate(_P + "published_total", "result"), "{{result}}")], unit="cps",
                ),
                course(
                    "Relay batches", "Nineteen of twenty batches are published and marked within this.",
                    [Query(quantile(0.95, _P + "relay_seconds"), "p95")], unit="s",
                ),
                course(
                    "Size of relay batches", "Events in one batch, on average.",
                    [Query(mean(_P + "relay_batch_size"), "events")], unit="short",
                ),
                course(
                    "Dead letters", "Sent on to the dead letter topic, and replayed from it.",
                    [Query(or_zero(rate(_P + "dead_letters_total", "action")), "{{action}}")], unit="cps",
                ),
            ],
            "Lag": [
                course(
                    "Lag in messages",
                    "Messages that the consumers have not read, and the most of one partition.",
                    [
                        Query(most("marketdata_lag_sum_messages"), "all partitions"),
                        Query(most("marketdata_lag_messages"), "the partition behind most"),
                    ],
                    unit="short",
                ),
                course(
                    "Lag in seconds",
                    "How long the first message that is not read has been there; none while it is unknown.",
                    [
                        Query(most("marketdata_lag_longest_seconds"), "the partition behind most"),
                        Query(f"avg({series('marketdata_lag_seconds')})", "on average"),
                    ],
                    unit="s", limits=Limits(warn=30, wrong=300),
                ),
                course(
                    "Consumers", "Pods that answer, and the partitions there are for them.",
                    [
                        Query(total(SCRAPED, where=f'{COMPONENT_LABEL}="consumer"'), "pods"),
                        Query(most("marketdata_lag_partitions"), "partitions"),
                    ],
                    unit="short",
                ),
                course(
                    "Lag known", "1 while the brokers tell the lag.",
                    [Query(most("marketdata_lag_up"), "known")],
                    unit="short", limits=Limits(warn=1, wrong=0, is_low_bad=True),
                ),
                course(
                    "Questions to the brokers", "How often they were asked for the lag, and answered.",
                    [Query(rate("marketdata_lag_rounds_total", "result"), "{{result}}")], unit="cps",
                ),
                course(
                    "Duration of a question", "Nineteen of twenty are answered within this.",
                    [Query(quantile(0.95, "marketdata_lag_round_seconds"), "p95")], unit="s",
                ),
            ],
            "Kafka to store": [
                course(
                    "Messages passed", "By what became of them in the store.",
                    [Query(or_zero(rate(_C + "events_total", "outcome")), "{{outcome}}")],
                    unit="cps", is_stacked=True,
                ),
                course(
                    "Partitions", "Partitions that each consumer has.",
                    [Query(total(_C + "assigned_partitions", "pod"), "{{pod}}")],
                    unit="short", is_stacked=True,
                ),
                course(
                    "Batches",
                    "Nineteen of twenty batches are in the store and told to the cache within this.",
                    [Query(quantile(0.95, _C + "batch_seconds"), "p95")], unit="s", limits=Limits(warn=5),
                ),
                course(
                    "Size of batches", "Messages written in one transaction, on average.",
                    [Query(mean(_C + "batch_events"), "messages")], unit="short",
                ),
                course(
                    "Rebalances", "Changes of each member's partitions.",
                    [Query(or_zero(rate(_C + "rebalances_total", "kind")), "{{kind}}")], unit="cps",
                ),
                course(
                    "Pause of a rebalance",
                    "Nineteen of twenty members read all of their new partitions within this.",
                    [Query(or_zero(quantile(0.95, _C + "rebalance_pause_seconds") + " >= 0"), "p95")],
                    unit="s",
                ),
                course(
                    "Trouble of consumers",
                    "Batches given up to another, tries that the database did not take, positions "
                    "outside their log, and partitions started again because they delivered nothing.",
                    [
                        Query(rate(_C + "fenced_total"), "fenced"),
                        Query(rate(_C + "store_retries_total"), "store retries"),
                        Query(rate(_C + "gaps_total"), "gaps"),
                        Query(rate(_C + "stalls_total"), "stalls"),
                    ],
                    unit="cps", width=24,
                ),
            ],
            "Age of prices": [
                course(
                    f"Part of the age: {part}", meaning,
                    [
                        Query(mean("marketdata_price_age_seconds", where=f'part="{part}"'), "mean"),
                        Query(quantile(0.95, "marketdata_price_age_seconds", where=f'part="{part}"'), "p95"),
                    ],
                    unit="s", width=6,
                )
                for part, meaning in _PARTS.items()
            ],
            "Cache and ledger": [
                course(
                    "Cache writes", "Keys written to Redis, and series that could not be.",
                    [Query(or_zero(rate(_C + "cache_writes_total", "result")), "{{result}}")], unit="cps",
                ),
                course(
                    "Ledger imbalance", "What each ledger is off by; 0 is the promise.",
                    [
                        Query(f"max by (ledger) (abs({series(_P + 'ledger_imbalance')}))", "{{ledger}}")
                    ],
                    unit="short", limits=Limits(wrong=1),
                ),
                course(
                    "Loops", "Time since each supervised loop last turned, the slowest of all pods.",
                    [
                        Query(
                            most("marketdata_heartbeat_age_seconds", COMPONENT_LABEL, "loop"),
                            f"{{{{{COMPONENT_LABEL}}}}} {{{{loop}}}}",
                        )
                    ],
                    unit="s", limits=Limits(warn=30, wrong=60),
                ),
            ],
        },
    )  # fmt: skip
