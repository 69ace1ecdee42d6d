"""Dashboards and alerts on the real Prometheus of the cluster, over a release that works."""

from collections.abc import Iterator

import pytest

from support.alerts import NAMES
from support.causes import CAUSES
from support.chart import ROOT
from support.dashboards import PanelQuery, queries
from support.prometheus import Prometheus
from support.promql import selectors
from support.real_kubernetes import a_manifest
from support.releases import SWEPT_WITHIN_SECONDS, Release
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.monitoring]

WATCHED = ("monitoring.dashboards.enabled=true", "monitoring.alerts.enabled=true")
# There only where consumers are scaled.
ON_SCALING = "MarketDataConsumersAtMaximum"
# Absent while all is well; that their labels and values are those of the catalogue is a test of its own.
ONLY_IN_TROUBLE = {
    "ALERTS": 'alertstate="firing"',
    "marketdata_api_requests_total": 'status=~"5.."',
    "marketdata_poller_symbols_total": 'outcome=~"failed|skipped"',
    "marketdata_poller_breaker_state": "",
    "marketdata_poller_dead_letters_total": "",
}
# Only how long is shortened, and from when on it counts; what is compared stays.
SHORT = {
    "MarketDataOutboxOld": ("threshold=5", "for=5s"),
    "MarketDataPollersGone": ("for=5s",),
    "MarketDataPollingUnknown": ("for=5s",),
    "MarketDataApiGone": ("for=5s",),
    "MarketDataApiFailing": ("window=30s", "for=5s"),
    "MarketDataOperatorNotConverging": ("window=30s", "for=5s"),
    "MarketDataConsumerStuck": ("window=30s", "for=5s"),
    "MarketDataLagNotDraining": ("threshold=5", "window=30s", "for=5s"),
    "MarketDataLagUnknown": ("for=5s",),
    "MarketDataConsumersAtMaximum": ("threshold=5", "window=30s", "for=5s"),
    "MarketDataDeadLetters": ("window=1m",),
    "MarketDataPricesStale": ("for=5s",),
    "MarketDataPricesBurningBudgetFast": ("window=1m", "short=30s", "for=5s"),
    "MarketDataPricesBurningBudgetSlow": ("window=1m", "short=30s", "for=5s"),
    "MarketDataProviderBlocked": ("for=5s",),
    "MarketDataLedgerOutOfBalance": ("for=5s",),
}
OVERRIDES = tuple(
    f"monitoring.alerts.overrides.{name}.{change}" for name, changes in SHORT.items() for change in changes
)
# Two consumers that do not keep up with a few hundred events a second.
SCALED = (
    "consumer.autoscaling.mode=hpa",
    "consumer.autoscaling.minReplicas=1",
    "consumer.autoscaling.maxReplicas=2",
    "consumer.autoscaling.targetLag=100",
    "consumer.resources.limits.cpu=100m",
    "consumer.resources.requests.cpu=50m",
    "consumer.settings.MARKETDATA_CONSUMER_BATCH_SIZE=1",
)
PAUSED = a_manifest("paused", {"symbols": ["IBM"], "provider": "synthetic", "suspend": True})
QUERIES_WITHIN_SECONDS = 180
FIRES_WITHIN_SECONDS = 180
RESOLVES_WITHIN_SECONDS = 240


@pytest.fixture(scope="module")
def watched(release: Release) -> Iterator[Prometheus]:
    """Prometheus, with the release scraped by it and at work on the samples.

    Beside them is a job that is not ready: the samples may all be so when the operator first looks at them.
    """
    release.upgrade(*WATCHED)
    samples = str(ROOT / "k8s" / "samples")
    release.run("apply", "--filename", samples)
    release.apply(PAUSED)
    try:
        eventually(lambda: release.ask("GET", "/prices/latest?symbol=AAPL")[0] == 200, within=90, every=1)
        yield Prometheus.found(release)
    finally:
        release.run("delete", "--filename", samples, "--ignore-not-found")
        release.run("delete", "pollingjob", PAUSED["metadata"]["name"], "--ignore-not-found")
        eventually(release.polls_nothing, within=SWEPT_WITHIN_SECONDS, every=1)
        release.settled()


@pytest.fixture(scope="module")
def short(watched: Prometheus) -> Prometheus:
    """The same, with alerts that wait for seconds where they wait for minutes."""
    watched.release.upgrade(*WATCHED, *OVERRIDES)
    return watched


@pytest.fixture
def scaled(short: Prometheus) -> Iterator[Prometheus]:
    """The same, with consumers under an HPA on lag."""
    short.release.upgrade(*WATCHED, *OVERRIDES, *SCALED)
    yield short
    short.release.leave_autoscaling("horizontalpodautoscaler", *WATCHED, *OVERRIDES)


def test_every_query_of_every_panel_returns_data(watched: Prometheus) -> None:
    chosen = {"namespace": watched.release.namespace, "release": watched.release.name}
    empty: list[PanelQuery] = queries()
    assert len(empty) > 70

    def all_answered() -> bool:
        watched.release.ask("GET", "/prices/latest?symbol=AAPL")
        empty[:] = [each for each in empty if not watched.values(each.filled(chosen))]
        assert not empty, "\n".join(f"{each.dashboard} / {each.panel}: {each.expression}" for each in empty)
        return True

    assert eventually(all_answered, within=QUERIES_WITHIN_SECONDS, every=2)


def test_what_a_panel_asks_for_is_there_and_not_only_its_zero(watched: Prometheus) -> None:
    """Many panels show 0 where there is no series, a wrong label among the reasons: their parts are asked."""
    chosen = {"namespace": watched.release.namespace, "release": watched.release.name}
    parts = {part for each in queries() for part in selectors(each.filled(chosen))}
    absent = sorted(
        {
            part.text
            for part in parts
            if part.name not in ONLY_IN_TROUBLE or ONLY_IN_TROUBLE[part.name] not in part.text
        }
    )
    assert len(absent) > 50

    def all_there() -> bool:
        watched.release.ask("GET", "/prices/latest?symbol=AAPL")
        absent[:] = [part for part in absent if not watched.values(f"count({part})")]
        assert not absent, "\n".join(absent)
        return True

    assert eventually(all_there, within=QUERIES_WITHIN_SECONDS, every=2)


def test_every_alert_is_evaluated_and_none_fires_while_all_is_well(watched: Prometheus) -> None:
    def all_evaluated() -> bool:
        found = {name: (rule["health"], rule.get("lastError", "")) for name, rule in watched.rules().items()}
        assert found == {name: ("ok", "") for name in NAMES if name != ON_SCALING}
        return True

    # Rules take the same way to Prometheus as what it scrapes, and it may be this test that comes first.
    assert eventually(all_evaluated, within=QUERIES_WITHIN_SECONDS, every=2)
    assert [name for name, state in watched.states().items() if state == "firing"] == []


def test_every_alert_has_a_cause_that_is_tried_here() -> None:
    assert set(CAUSES) == set(SHORT) == set(NAMES)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(CAUSES) - {ON_SCALING}))
def test_an_alert_fires_for_its_cause_and_resolves_when_it_is_gone(short: Prometheus, name: str) -> None:
    fires_and_resolves(short, name)


@pytest.mark.long
def test_consumers_at_their_maximum_are_told_while_messages_wait(scaled: Prometheus) -> None:
    fires_and_resolves(scaled, ON_SCALING)


def fires_and_resolves(prometheus: Prometheus, name: str) -> None:
    def state() -> str | None:
        if name == "MarketDataApiFailing":
            prometheus.release.ask("GET", "/test-db")
        return prometheus.states().get(name)

    assert eventually(lambda: state() == "inactive", within=RESOLVES_WITHIN_SECONDS, every=2)
    with CAUSES[name](prometheus.release):
        assert eventually(lambda: state() == "firing", within=FIRES_WITHIN_SECONDS, every=1)
    assert eventually(lambda: state() == "inactive", within=RESOLVES_WITHIN_SECONDS, every=2)
