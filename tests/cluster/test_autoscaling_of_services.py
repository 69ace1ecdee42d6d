"""Pollers are scaled on the lateness of due jobs and the API on CPU, up and down again.

The chart's own windows are minutes long; behaviour is hastened here.
"""

import json
from collections.abc import Callable, Iterator

import pytest

from support.asking import asking
from support.releases import Release
from support.scaling import Scaler
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.monitoring, pytest.mark.long, pytest.mark.scale]

MOST = 3
_QUICK = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 10}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}],
    },
}


@pytest.fixture
def scale(release: Release) -> Iterator[Callable[..., Scaler]]:
    """Turn a component's autoscaling on, from one pod to MOST, and return its HPA once it acts."""

    def scaled(component: str, *settings: str) -> Scaler:
        scaling = f"{component}.autoscaling"
        release.upgrade(
            f"{scaling}.mode=hpa",
            f"{scaling}.minReplicas=1",
            f"{scaling}.maxReplicas={MOST}",
            *settings,
            json_settings=[f"{scaling}.behavior={json.dumps(_QUICK)}"],
        )
        scaler = Scaler(release, component)
        eventually(scaler.is_active, within=240, every=1)
        return scaler

    yield scaled
    release.leave_autoscaling("horizontalpodautoscaler")
    eventually(release.is_ready, within=120, every=2)


def test_pollers_come_while_jobs_are_late_and_go_when_none_is(
    release: Release, scale: Callable[..., Scaler]
) -> None:
    scaler = scale(
        "poller",
        "poller.autoscaling.targetLatenessSeconds=3",
        "poller.resources.limits.cpu=100m",
        "poller.resources.requests.cpu=50m",
    )
    eventually(lambda: scaler.pods() == (1, 1), within=120, every=1)

    jobs = [release.poll(*(f"S{job}X{i}" for i in range(500))) for job in range(10)]
    eventually(lambda: scaler.pods() == (MOST, MOST), within=240, every=1)
    for job in jobs:
        release.retire(job)
    eventually(lambda: scaler.pods() == (1, 1), within=240, every=1)

    ledger = release.settled()
    assert all(each["created"] == each["stored"] + each["superseded"] for each in ledger["events"]), ledger


@pytest.mark.metrics_api
def test_the_api_grows_under_requests_and_shrinks_without_failing_one(
    release: Release, scale: Callable[..., Scaler]
) -> None:
    scaler = scale("api", "api.resources.requests.cpu=50m", "api.resources.limits.cpu=200m")
    eventually(lambda: scaler.pods() == (1, 1), within=120, every=1)
    job = release.poll("AAPL")

    with asking(release, "AAPL", pause=0) as busy:
        eventually(lambda: scaler.pods() == (MOST, MOST), within=240, every=1)
    with asking(release, "AAPL") as quiet:
        eventually(lambda: scaler.pods() == (1, 1), within=240, every=1)
    release.retire(job)

    assert busy.wrong == quiet.wrong == []
    assert quiet.asked > 100
    assert busy.per_second > quiet.per_second
