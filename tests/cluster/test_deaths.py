"""Pods die while prices flow; afterwards the ledger balances and no price is missing or doubled."""

import pytest

from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

VICTIMS = {
    "api": ("app.kubernetes.io/component=api",),
    "poller": ("app.kubernetes.io/component=poller",),
    "consumer": ("app.kubernetes.io/component=consumer",),
    "operator": ("app.kubernetes.io/component=operator",),
    "redis": ("app.kubernetes.io/name=redis",),
    "postgres": ("app.kubernetes.io/name=postgresql",),
    "kafka": ("strimzi.io/kind=Kafka",),
    "poller and consumer": ("app.kubernetes.io/component in (poller, consumer)",),
    "kafka and postgres": ("strimzi.io/kind=Kafka", "app.kubernetes.io/name=postgresql"),
}


@pytest.mark.parametrize("victims", VICTIMS)
def test_no_event_is_lost_when_pods_are_killed(release: Release, victims: str) -> None:
    job = release.poll("NVDA", "TSLA")
    for selector in VICTIMS[victims]:
        release.kill(selector)
    goes_on(release)
    ends_with_every_event_stored(release, job)


def test_no_event_is_lost_when_all_pods_are_sent_away_one_kind_after_another(release: Release) -> None:
    job = release.poll("NVDA", "TSLA")
    for selectors in VICTIMS.values():
        if len(selectors) == 1:
            release.send_away(selectors[0])
            eventually(release.is_ready, within=150, every=2)
    goes_on(release)
    ends_with_every_event_stored(release, job)


def goes_on(release: Release) -> None:
    eventually(release.is_ready, within=150, every=2)
    eventually(release.answers_from_each_pod, within=60, every=1)

    def flows_again() -> bool:
        before = release.ledger()["counters"]["stored"]
        eventually(lambda: release.ledger()["counters"]["stored"] > before, within=60, every=1)
        return True

    eventually(flows_again, within=120, every=1)


def ends_with_every_event_stored(release: Release, job: str) -> None:
    release.retire(job)
    ledger = release.settled()
    assert all(each["dead"] == 0 for each in ledger["events"]), ledger
    assert all(each["created"] == each["stored"] + each["superseded"] for each in ledger["events"]), ledger
