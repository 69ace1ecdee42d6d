"""Where traces go: nowhere, unless the values name a collector."""

import pytest

from marketdata import settings
from marketdata.telemetry.settings import TraceSettings
from support.chart import Helm, Refused

COMPONENTS = ("api", "poller", "consumer", "operator")
ENDPOINT = "tracing.endpoint=http://collector.monitoring:4318"


def test_without_a_collector_no_pod_is_told_of_traces(helm: Helm) -> None:
    objects = helm.objects()
    for name in COMPONENTS:
        told = objects.environment(f"md-market-data-{name}")
        assert not [variable for variable in told if variable.startswith("OTEL_")]


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_collector_is_what_each_process_sends_to_under_its_own_name(helm: Helm, name: str) -> None:
    sets = (ENDPOINT, "tracing.sampler=parentbased_traceidratio", "tracing.samplerArgument=0.01")
    told = helm.objects(sets=sets).environment(f"md-market-data-{name}")
    (read,) = settings.read(TraceSettings, environ={k: v for k, v in told.items() if k.startswith("OTEL_")})

    assert read.wanted
    assert read.why_not is None
    assert read.endpoint == "http://collector.monitoring:4318"
    assert read.service_name == f"md-market-data-{name}"
    assert read.resource_attributes == "service.namespace=prices,service.instance.id=$(POD_NAME)"
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert list(told).index("POD_NAME") < list(told).index("OTEL_RESOURCE_ATTRIBUTES")
    assert (read.sampler, read.sampler_argument) == ("parentbased_traceidratio", "0.01")


def test_the_lag_exporter_makes_no_traces_and_is_told_of_no_collector(helm: Helm) -> None:
    told = helm.objects(sets=(ENDPOINT,)).environment("md-market-data-lag")
    assert not [variable for variable in told if variable.startswith("OTEL_")]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://collector:4318", 4318), ("https://collector.example.com", 443), ("http://collector/otlp", 80)],
)
def test_the_network_lets_every_component_reach_the_collector(helm: Helm, endpoint: str, port: int) -> None:
    objects = helm.objects(sets=(f"tracing.endpoint={endpoint}", "networkPolicy.enabled=true"))
    for name in COMPONENTS:
        policy = objects.one("NetworkPolicy", f"md-market-data-{name}")
        assert {"ports": [{"port": port, "protocol": "TCP"}]} in policy["spec"]["egress"]


@pytest.mark.parametrize(
    "wrong",
    [
        "tracing.endpoint=collector:4318",
        "tracing.endpoint=http://user:password@collector:4318",
        "tracing.sampler=always",
        "tracing.samplerArgument=2",
    ],
)
def test_what_no_process_could_use_is_refused(helm: Helm, wrong: str) -> None:
    with pytest.raises(Refused):
        helm.objects(sets=(wrong,))
