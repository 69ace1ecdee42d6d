"""A backlog scales the consumers up, is drained, and lets them come down again; nothing lost or doubled.

The events are loaded while no consumer runs, and more of them until the autoscaler has acted: one consumer
of a fast machine has the first ones before it looks. Behaviour is hastened, or a run would take ten minutes:
the chart's own windows are minutes long.
"""

import json
import os
from collections.abc import Iterator
from itertools import pairwise

import pytest

from support.chart import ROOT
from support.prometheus import Prometheus
from support.releases import Release
from support.scaling import Backlog
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.monitoring]

MOST = 6  # of 12 partitions
EVENTS = int(os.environ.get("TEST_SCALE_EVENTS", "50000"))  # noqa: TID251 - the run's own knob
_WITHIN = 60 + EVENTS / 200
_QUICK = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 10}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 5}],
    },
}


def scaled(mode: str, fewest: int) -> tuple[str, ...]:
    return (
        "consumer.resources.limits.cpu=100m",
        "consumer.resources.requests.cpu=50m",
        "poller.replicas=1",
        f"consumer.autoscaling.mode={mode}",
        f"consumer.autoscaling.minReplicas={fewest}",
        f"consumer.autoscaling.maxReplicas={MOST}",
        f"consumer.autoscaling.targetLag={EVENTS // 10}",
        "consumer.autoscaling.keda.pollingSeconds=5",
        "consumer.autoscaling.keda.cooldownSeconds=15",
        # At the usual 5,000 one consumer has it all before the second has started.
        "consumer.settings.MARKETDATA_CONSUMER_BATCH_SIZE=50",
    )


@pytest.fixture
def backlog(release: Release, request: pytest.FixtureRequest) -> Iterator[Backlog]:
    yield Backlog(release)
    by_keda = request.node.get_closest_marker("keda") is not None
    release.leave_autoscaling("scaledobject" if by_keda else "horizontalpodautoscaler")
    eventually(release.is_ready, within=120, every=2)


def check_exact(backlog: Backlog, before: dict[str, int]) -> None:
    """Assert that each of the loaded events, all of them since the first, is in the tables once."""
    after, count = backlog.tables(), backlog.loaded
    assert after["points"] == after["averages"] == count
    assert after["prices"] == sum(i % 997 + 1 for i in range(count))
    loaded = count - before["points"]
    assert after["stored"] - before["stored"] == after["consumed"] - before["consumed"] == loaded
    assert after["redelivered"] == before["redelivered"]
    assert after["gaps"] == before["gaps"]


def keep_pauses(release: Release) -> None:
    """Write how long partitions stood while they went from pod to pod; some did, or nothing was scaled."""
    prometheus = Prometheus.found(release)
    chosen = f'{{namespace="{release.namespace}"}}[15m]'

    def over(suffix: str) -> str:
        return f"max_over_time(marketdata_consumer_rebalance_pause_seconds_{suffix}{chosen})"

    asked = {
        "count": f"sum({over('count')})",
        "mean_seconds": f"sum({over('sum')}) / sum({over('count')})",
        "p95_seconds": f"histogram_quantile(0.95, sum by (le) ({over('bucket')}))",
    }
    found = {name: prometheus.values(expression) for name, expression in asked.items()}
    assert all(found.values()), found
    assert found["count"][0] > 1
    (ROOT / "build" / "scaling" / "pauses.json").write_text(json.dumps(found))


def upgrade(release: Release, *settings: str) -> None:
    behaviour = [f"consumer.autoscaling.behavior={json.dumps(_QUICK)}"]
    release.upgrade(*settings, json_settings=behaviour)


def test_an_hpa_raises_the_consumers_on_lag_and_takes_them_back(release: Release, backlog: Backlog) -> None:
    upgrade(release, *scaled("hpa", 1))
    # The adapter looks for new metrics now and then.
    eventually(backlog.scaler.is_active, within=240, every=1)
    backlog.scale(0)
    eventually(backlog.has_no_reader, within=90, every=1)
    eventually(backlog.until(lambda now: now.ready == 0 and now.lag == 0), within=60, every=1)
    before = backlog.tables()
    backlog.loaded = before["points"]
    backlog.load(EVENTS)
    eventually(backlog.until(lambda now: now.lag == EVENTS), within=60, every=1)

    began = len(backlog.samples)
    backlog.scale(1)
    eventually(backlog.kept_until(lambda now: now.wished > 1, least=EVENTS // 2), within=120, every=1)
    eventually(backlog.is_drained, within=_WITHIN, every=1)
    eventually(backlog.until(lambda now: now.wished == now.ready == 1), within=120, every=1)

    backlog.keep(ROOT / "build" / "scaling" / "hpa.json")
    keep_pauses(release)
    wished = [each.wished for each in backlog.samples[began:]]
    assert max(wished) <= MOST
    downs = [after < before for before, after in pairwise(wished) if after != before]
    assert downs == sorted(downs), f"it went up again after it had come down: {wished}"
    check_exact(backlog, before)


@pytest.mark.keda
def test_keda_takes_the_consumers_to_none_and_back_on_lag(release: Release, backlog: Backlog) -> None:
    upgrade(release, *scaled("keda", 0))
    eventually(backlog.until(lambda now: now.wished == now.ready == 0), within=120, every=1)
    eventually(backlog.has_no_reader, within=90, every=1)
    before = backlog.tables()
    backlog.loaded = before["points"]

    backlog.load(EVENTS)
    eventually(backlog.kept_until(lambda now: now.ready > 1, least=EVENTS // 2), within=120, every=1)
    eventually(backlog.is_drained, within=_WITHIN, every=1)
    eventually(backlog.until(lambda now: now.wished == now.ready == 0), within=180, every=1)

    backlog.keep(ROOT / "build" / "scaling" / "keda.json")
    assert max(each.wished for each in backlog.samples) <= MOST
    check_exact(backlog, before)
