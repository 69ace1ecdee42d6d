"""The chart's monitors and a real prometheus-operator: what is scraped, and that nothing fails at it."""

from collections.abc import Iterator

import pytest

from support.prometheus import Prometheus
from support.releases import Release

pytestmark = [pytest.mark.cluster, pytest.mark.monitoring]

_BY_SERVICES = (
    "metrics.podMonitor.enabled=false",
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.interval=5s",
)


@pytest.fixture
def by_services(release: Release) -> Iterator[Release]:
    """The release with a ServiceMonitor; what comes after it finds the PodMonitor at work again."""
    try:
        release.upgrade(*_BY_SERVICES)
        yield release
    finally:
        release.upgrade()
        Prometheus.found(release).scrapes_all(by="podMonitor")


def test_a_pod_monitor_has_every_pod_of_every_component_scraped(release: Release) -> None:
    Prometheus.found(release).scrapes_all(by="podMonitor")


def test_a_service_monitor_has_every_pod_of_every_component_scraped(by_services: Release) -> None:
    Prometheus.found(by_services).scrapes_all(by="serviceMonitor")
