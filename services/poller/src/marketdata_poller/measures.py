"""What the poller counts about itself; names and meanings are in the catalogue."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from marketdata.domain.poll import DueJob
from marketdata.domain.publication import Observation
from marketdata.storage.dead_letter_relay import Waiting
from marketdata.storage.ledger import Imbalance
from marketdata.storage.outbox import Depth
from marketdata.storage.outcomes import Recorded
from marketdata.telemetry.metrics import Metrics

PREFIXES = ("marketdata_poller_", "marketdata_price_")


class PollMeasures:
    """Counts of polling."""

    def __init__(self, metrics: Metrics) -> None:
        self._claimed = metrics.histogram("marketdata_poller_claimed_jobs")
        self._lateness = metrics.histogram("marketdata_poller_lateness_seconds")
        self._fetch = metrics.histogram("marketdata_poller_fetch_seconds")
        self._requests = metrics.counter("marketdata_poller_upstream_requests_total")
        self._budget = metrics.gauge("marketdata_poller_budget_left")
        self._symbols = metrics.counter("marketdata_poller_symbols_total")
        self._polls = metrics.counter("marketdata_poller_polls_total")
        self._events = metrics.counter("marketdata_poller_events_total")
        self._fenced = metrics.counter("marketdata_poller_fenced_total")
        self._age = metrics.histogram("marketdata_price_age_seconds")

    def claimed(self, provider: str, jobs: Sequence[DueJob], at: datetime) -> None:
        """Count one claim and how late each of its jobs is."""
        self._claimed.labels(provider).observe(len(jobs))
        lateness = self._lateness.labels(provider)
        for job in jobs:
            lateness.observe(max(0.0, (at - job.tick_at).total_seconds()))

    def fetched(self, provider: str, seconds: float, observations: Sequence[Observation]) -> None:
        """Count one fetch, and how old the prices were before it and became by it."""
        self._fetch.labels(provider).observe(seconds)
        by_provider, by_fetch = self._age.labels("provider", provider), self._age.labels("fetch", provider)
        took = timedelta(seconds=seconds)
        for point in (observation.point for observation in observations):
            by_provider.observe(max(0.0, (point.fetched_at - took - point.observed_at).total_seconds()))
            by_fetch.observe(seconds)

    def requested(self, provider: str, endpoint: str, left: float) -> None:
        """Count one upstream request, and note the budget left after it."""
        self._requests.labels(provider, endpoint).inc()
        self._budget.labels(provider).set(left)

    def recorded(self, provider: str, recorded: Recorded) -> None:
        """Count what one recording brought."""
        found = Counter((each.outcome.value, each.reason or "") for each in recorded.outcomes.values())
        for (outcome, reason), count in found.items():
            self._symbols.labels(provider, outcome, reason).inc(count)
        for tally in recorded.completed.values():
            self._polls.labels(provider, "ok" if tally.succeeded else "failed").inc()
        self._events.labels(provider).inc(recorded.events)
        if recorded.lost:
            self._fenced.labels(provider).inc(len(recorded.lost))


class RelayMeasures:
    """Counts of publishing and settling."""

    def __init__(self, metrics: Metrics) -> None:
        self._published = metrics.counter("marketdata_poller_published_total")
        self._batch = metrics.histogram("marketdata_poller_relay_batch_size")
        self._seconds = metrics.histogram("marketdata_poller_relay_seconds")
        self._letters = metrics.counter("marketdata_poller_dead_letters_total")
        self._verdicts = metrics.counter("marketdata_poller_settled_total")
        self._age_at_broker = metrics.histogram("marketdata_price_age_seconds").labels("publish", "")

    def confirmed(self, fetched: Sequence[datetime], at: datetime) -> None:
        """Note how long events of answers of these times took until the broker had them."""
        for each in fetched:
            self._age_at_broker.observe(max(0.0, (at - each).total_seconds()))

    def published(self, delivered: int, undelivered: int, seconds: float) -> None:
        self._published.labels("delivered").inc(delivered)
        self._published.labels("undelivered").inc(undelivered)
        self._batch.observe(delivered + undelivered)
        self._seconds.observe(seconds)

    def letters(self, action: str, count: int) -> None:
        """Count dead letters `forwarded` or `replayed`."""
        self._letters.labels(action).inc(count)

    def swept(self, verdicts: Counter[str]) -> None:
        for verdict in ("stored", "superseded", "dead", "lost"):
            self._verdicts.labels(verdict).inc(verdicts[verdict])


class StandingMeasures:
    """What stands in the database, whoever caused it; each poller tells the same.

    Given None, which is that it is not known, a method leaves nothing to be scraped.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._rows = metrics.table("marketdata_poller_outbox_rows")
        self._age = metrics.table("marketdata_poller_outbox_age_seconds")
        self._breakers = metrics.table("marketdata_poller_breaker_state")
        self._late = metrics.table("marketdata_poller_due_lateness_seconds")
        self._letters = metrics.table("marketdata_poller_dead_letters_waiting")
        self._stale = metrics.table("marketdata_poller_stale_jobs")
        self._imbalance = metrics.table("marketdata_poller_ledger_imbalance")

    def depth(self, depth: Depth | None) -> None:
        self._rows.show({("unpublished",): depth.unpublished, ("open",): depth.open} if depth else {})
        ages = {"unpublished": depth.unpublished_age_seconds, "open": depth.open_age_seconds} if depth else {}
        self._age.show({(state,): age for state, age in ages.items()})

    def breakers(self, open_now: Mapping[tuple[str, str], bool] | None) -> None:
        """Show open breakers as 2, half-open ones as 1; those that closed disappear."""
        self._breakers.show({breaker: 2 if is_open else 1 for breaker, is_open in (open_now or {}).items()})

    def due(self, seconds_late: Mapping[str, float] | None) -> None:
        """Show how late the oldest due job of each provider is."""
        self._late.show({(provider,): late for provider, late in (seconds_late or {}).items()})

    def letters(self, waiting: Waiting | None) -> None:
        self._letters.show(
            {
                ("forwarding",): waiting.forwarding,
                ("replay",): waiting.replay,
                ("decision",): waiting.decision,
            }
            if waiting
            else {}
        )

    def stale(self, jobs: Mapping[str, int] | None) -> None:
        self._stale.show({(provider,): count for provider, count in (jobs or {}).items()})

    def imbalance(self, imbalance: Imbalance | None) -> None:
        self._imbalance.show(
            {("polls",): imbalance.polls, ("events",): imbalance.events} if imbalance else {}
        )
