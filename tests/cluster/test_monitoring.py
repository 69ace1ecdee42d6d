"""The chart's monitors and a real prometheus-operator: what is scraped, and that nothing fails at it."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from support.releases import Release
from support.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.monitoring]

_TARGETS = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/targets?state=active"
_COMPONENTS = {"api", "poller", "consumer", "lag", "operator"}


@pytest.fixture
def left_alone(release: Release) -> Iterator[Release]:
    yield release
    release.upgrade()


def targets(release: Release) -> list[dict[str, Any]]:
    found = json.loads(release.run("get", "--raw", _TARGETS))["data"]["activeTargets"]
    return [
        cast("dict[str, Any]", each) for each in found if each["labels"].get("namespace") == release.namespace
    ]


@pytest.mark.parametrize("monitor", ["podMonitor", "serviceMonitor"])
def test_every_pod_of_every_component_is_scraped_without_an_error(left_alone: Release, monitor: str) -> None:
    left_alone.upgrade(f"metrics.{monitor}.enabled=true", f"metrics.{monitor}.interval=5s")
    eventually(left_alone.is_ready, within=120, every=1)
    pods = {
        pod["metadata"]["name"]
        for pod in left_alone.get("pods", "--selector", "app.kubernetes.io/part-of=market-data")["items"]
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in _COMPONENTS
    }

    def all_up() -> list[dict[str, Any]]:
        seen = targets(left_alone)
        # By this monitor: for a while the one of before is what Prometheus still goes by.
        assert {each["scrapePool"].partition("/")[0] for each in seen} == {monitor}
        assert {each["labels"]["pod"] for each in seen} == pods
        assert len(seen) == len(pods), "a pod is scraped twice"
        wrong = [(each["labels"]["pod"], each["lastError"]) for each in seen if each["health"] != "up"]
        assert not wrong, wrong
        return seen

    # A new configuration reaches Prometheus as a mounted Secret, which the kubelet looks at now and then.
    seen = eventually(all_up, within=180, every=2)
    assert {each["labels"]["app_kubernetes_io_component"] for each in seen} == _COMPONENTS
