"""Every metric: its name, kind, labels and one sentence.

The source of the metrics themselves, of their reference page and of the checks on dashboards and
alerts. A label has a written bound: no symbol, no job, no address is ever a label.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `labels` maps each label to what bounds it; `buckets` are for histograms.

    `whole` is one that is shown by a `Table`: all its series together, or none.
    """

    name: str
    kind: Kind
    help: str
    labels: dict[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    whole: bool = False


_KNOWN = " Absent while Postgres is away."
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_PROVIDER = {"provider": "the installed providers"}
_PROVIDER_OR_OTHER = {"provider": "the installed providers, and other for jobs that no poller can serve"}
_AGES = (*_SECONDS, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0)
_GROUP = {"consumergroup": "the one group of the exporter", "topic": "its one topic"}
_COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)

POLLER: tuple[Metric, ...] = (
    Metric(
        "marketdata_poller_polls_total",
        "counter",
        "Polls recorded; ok is at least one price.",
        _PROVIDER | {"result": "ok, failed"},
    ),
    Metric(
        "marketdata_poller_symbols_total",
        "counter",
        "Outcomes of symbols asked for.",
        _PROVIDER
        | {"outcome": "fresh, unchanged, failed, skipped", "reason": "the leaves of the error tree"},
    ),
    Metric("marketdata_poller_events_total", "counter", "Events made of answers.", _PROVIDER),
    Metric("marketdata_poller_fenced_total", "counter", "Jobs lost while they were polled.", _PROVIDER),
    Metric(
        "marketdata_poller_lateness_seconds",
        "histogram",
        "Seconds from a job's due time to its claim.",
        _PROVIDER,
        _AGES,
    ),
    Metric("marketdata_poller_claimed_jobs", "histogram", "Jobs taken by one claim.", _PROVIDER, _COUNTS),
    Metric(
        "marketdata_poller_fetch_seconds",
        "histogram",
        "Seconds one fetch took, waiting for budget included.",
        _PROVIDER,
        _AGES,
    ),
    Metric(
        "marketdata_poller_upstream_requests_total",
        "counter",
        "Requests let through to a provider.",
        _PROVIDER | {"upstream": "the endpoints a provider names, at most five each"},
    ),
    Metric("marketdata_poller_budget_left", "gauge", "Requests left in the deployment's budget.", _PROVIDER),
    Metric(
        "marketdata_poller_breaker_state",
        "gauge",
        "2 while a breaker is open, 1 while it is half open; absent while it is closed, or nobody has asked"
        " for five minutes since it might." + _KNOWN,
        _PROVIDER | {"upstream": "the endpoints a provider names, at most five each"},
        whole=True,
    ),
    Metric(
        "marketdata_poller_published_total",
        "counter",
        "Events handed to Kafka; undelivered ones are tried again.",
        {"result": "delivered, undelivered"},
    ),
    Metric("marketdata_poller_relay_batch_size", "histogram", "Events in one relay batch.", {}, _COUNTS),
    Metric("marketdata_poller_relay_seconds", "histogram", "Seconds to publish and mark a batch.", {}, _AGES),
    Metric(
        "marketdata_poller_dead_letters_total",
        "counter",
        "Dead letters sent on.",
        {"action": "forwarded, replayed"},
    ),
    Metric(
        "marketdata_poller_settled_total",
        "counter",
        "Verdicts of the sweep; lost events are published again.",
        {"verdict": "stored, superseded, dead, lost"},
    ),
    Metric(
        "marketdata_poller_outbox_rows",
        "gauge",
        "Rows of the outbox, counted up to 100,000." + _KNOWN,
        {"state": "unpublished, open"},
        whole=True,
    ),
    Metric(
        "marketdata_poller_outbox_age_seconds",
        "gauge",
        "Age of the oldest such row." + _KNOWN,
        {"state": "unpublished, open"},
        whole=True,
    ),
    Metric(
        "marketdata_poller_ledger_imbalance",
        "gauge",
        "What a ledger's equation is off by over two days; 0 is the promise." + _KNOWN,
        {"ledger": "polls, events"},
        whole=True,
    ),
    Metric(
        "marketdata_poller_due_lateness_seconds",
        "gauge",
        "How late the oldest due job is, whether or not a poller has taken it; 0 where none is due. The same"
        " from each poller." + _KNOWN,
        _PROVIDER,
        whole=True,
    ),
    Metric(
        "marketdata_poller_stale_jobs",
        "gauge",
        "Jobs with a price not confirmed within what they promise: their slo's maxAgeSeconds, else three"
        " intervals and 10 s. The same from each poller." + _KNOWN,
        _PROVIDER_OR_OTHER,
        whole=True,
    ),
    Metric(
        "marketdata_poller_dead_letters_waiting",
        "gauge",
        "Dead letters kept, counted up to 100,000; one may wait for two things. The same from each poller."
        + _KNOWN,
        {"awaits": "forwarding, replay, decision (nobody has asked for a replay)"},
        whole=True,
    ),
)

LAG: tuple[Metric, ...] = (
    Metric(
        "marketdata_lag_up",
        "gauge",
        "1 while the brokers tell the lag; while it is 0 the other gauges of lag are absent, not 0.",
        _GROUP,
    ),
    Metric(
        "marketdata_lag_messages",
        "gauge",
        "Messages of a partition that the group has not consumed; all there are before its first commit.",
        _GROUP | {"partition": "the partitions of the topic"},
    ),
    Metric(
        "marketdata_lag_seconds",
        "gauge",
        "How long the first message that the group has not consumed has been in the partition.",
        _GROUP | {"partition": "the partitions of the topic"},
    ),
    Metric(
        "marketdata_lag_sum_messages",
        "gauge",
        "The lag of all partitions together: what consumers are scaled on.",
        _GROUP,
    ),
    Metric(
        "marketdata_lag_longest_seconds", "gauge", "The lag in seconds of the partition behind most.", _GROUP
    ),
    Metric(
        "marketdata_lag_partitions",
        "gauge",
        "Partitions of the topic: the most consumers that can work.",
        _GROUP,
    ),
    Metric(
        "marketdata_lag_rounds_total",
        "counter",
        "Times that the brokers were asked.",
        {"result": "answered, unanswered"},
    ),
    Metric(
        "marketdata_lag_round_seconds", "histogram", "Seconds to ask the brokers for all of it.", {}, _SECONDS
    ),
)

OPERATOR: tuple[Metric, ...] = (
    Metric(
        "marketdata_operator_reconcile_seconds",
        "histogram",
        "Time to write what changed (drain), and to compare everything (sweep).",
        {"kind": "drain, sweep"},
        buckets=(*_SECONDS, 30.0, 60.0),
    ),
    Metric("marketdata_operator_dirty_objects", "gauge", "Objects whose change is not in the database yet."),
    Metric("marketdata_operator_sweep_age_seconds", "gauge", "Seconds since a sweep last finished."),
    Metric(
        "marketdata_operator_watch_event_age_seconds",
        "gauge",
        "Seconds since the watch last told of an object; long where nothing changes.",
    ),
    Metric(
        "marketdata_operator_watch_restarts_total", "counter", "Times the watch ended and was begun again."
    ),
    Metric(
        "marketdata_operator_rows_total",
        "counter",
        "Rows of polling jobs written.",
        {"change": "created, changed, retired"},
    ),
    Metric(
        "marketdata_operator_held_rows",
        "gauge",
        "Rows whose objects are absent and that the brake keeps until a second sweep agrees.",
    ),
    Metric("marketdata_operator_brake_trips_total", "counter", "Times the brake came on."),
    Metric(
        "marketdata_operator_writes_total",
        "counter",
        "Writes to the Kubernetes API, by what became of them.",
        {"what": "status, event", "outcome": "written, or a leaf of the error tree"},
    ),
    Metric("marketdata_operator_pending_statuses", "gauge", "Statuses that wait to be written."),
    Metric(
        "marketdata_operator_jobs",
        "gauge",
        "PollingJobs by the state of each of their conditions.",
        {
            "condition": "the four conditions",
            "status": "True, False, Unknown",
            "reason": "the reasons of conditions",
        },
    ),
)

CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "marketdata_heartbeat_age_seconds",
        "gauge",
        "Seconds since a supervised loop last turned.",
        {"loop": "the loops of one process: one per provider, and at most six more"},
    ),
    Metric(
        "marketdata_price_age_seconds",
        "histogram",
        "Where the age of a price arose: provider (until it was asked for), fetch (until it answered),"
        " publish (until the broker had it), store (until it could be read; of each batch the event that"
        " waited longest in each partition).",
        {
            "part": "provider, fetch, publish, store",
            "provider": "the installed providers; empty for publish and store, which are the same for all",
        },
        _AGES,
    ),
    Metric(
        "marketdata_api_requests_total",
        "counter",
        "Requests answered.",
        {
            "route": "the templates of the API's routes, at most 30",
            "method": "the known methods, and OTHER",
            "status": "the HTTP statuses that the API sends, at most 20",
        },
    ),
    Metric(
        "marketdata_api_request_seconds",
        "histogram",
        "From the request's headers to the end of its answer.",
        {"route": "the templates of the API's routes, at most 30"},
        _SECONDS,
    ),
    Metric(
        "marketdata_api_latest_answers_total",
        "counter",
        "Latest prices served, by where they came from.",
        {"source": "HIT (Redis), MISS (Postgres, Redis had nothing), BYPASS (Postgres, Redis was away)"},
    ),
    Metric(
        "marketdata_api_dependency_away",
        "gauge",
        "1 while this process cannot reach the dependency.",
        {"dependency": "postgres, redis"},
    ),
    Metric(
        "marketdata_api_keys_unreadable",
        "gauge",
        "1 while the file of API keys is missing or broken, and those known before stay valid.",
    ),
    Metric(
        "marketdata_consumer_batch_events",
        "histogram",
        "Messages in one batch, written in one transaction.",
        buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000),
    ),
    Metric(
        "marketdata_consumer_batch_seconds",
        "histogram",
        "From handing a batch over to its being in the store and told to the cache.",
        buckets=_AGES,
    ),
    Metric(
        "marketdata_consumer_events_total",
        "counter",
        "Messages passed, by what became of them.",
        {"outcome": "stored, superseded, redelivered, dead"},
    ),
    Metric(
        "marketdata_consumer_cache_writes_total",
        "counter",
        "Keys written to the cache, and series that could not be.",
        {"result": "written, failed"},
    ),
    Metric(
        "marketdata_consumer_gaps_total",
        "counter",
        "Positions found outside their log and started again at its start.",
    ),
    Metric(
        "marketdata_consumer_rebalances_total",
        "counter",
        "Changes of the partitions of this member.",
        {"kind": "assigned, revoked"},
    ),
    Metric(
        "marketdata_consumer_fenced_total",
        "counter",
        "Batches given up because their positions were moved by another consumer.",
    ),
    Metric(
        "marketdata_consumer_stalls_total",
        "counter",
        "Times a partition delivered nothing though its log went on, and was started again.",
    ),
    Metric(
        "marketdata_consumer_store_retries_total",
        "counter",
        "Tries to write a batch that failed because the database was out of reach.",
    ),
    Metric(
        "marketdata_consumer_rebalance_pause_seconds",
        "histogram",
        "From new partitions being this member's to all of them flowing from their positions.",
        buckets=_SECONDS,
    ),
    Metric("marketdata_consumer_assigned_partitions", "gauge", "Partitions that are this member's now."),
    *POLLER,
    *OPERATOR,
    *LAG,
    Metric(
        "marketdata_poller_promise_seconds_total",
        "counter",
        "Seconds that promises about age cover, summed over symbols; those of a closed market are not.",
        _PROVIDER | {"result": "kept, broken"},
        whole=True,
    ),
    Metric(
        "marketdata_poller_promise_budget_seconds_total",
        "counter",
        "Of these seconds, those that the promises' targets allow to be broken.",
        _PROVIDER,
        whole=True,
    ),
    Metric(
        "marketdata_poller_promises",
        "gauge",
        "Jobs with a promise about age, by what is left of the budget of 30 days; the same in every poller."
        + _KNOWN,
        {"state": "kept, at_risk (under a quarter left), broken, unknown (no time counted yet)"},
        whole=True,
    ),
)
