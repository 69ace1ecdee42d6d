"""The definition on a real API server: what it takes, what it refuses, and in which words."""

import json

import pytest

from support.real_kubernetes import Refused, a_manifest, kubectl

pytestmark = pytest.mark.cluster

TAKEN = [
    {"symbols": ["AAPL"], "interval": 60},
    {"symbols": ["AAPL"], "interval": "60s"},
    {"symbols": ["AAPL"], "interval": "5m"},
    {"symbols": ["AAPL"], "interval": "24h"},
    {"symbols": ["^GSPC", "EURUSD=X", "BRK-B", "0700.HK"], "interval": "1h30m"},
    {"symbols": ["AAPL"], "provider": "alpha_vantage"},
    {"symbols": ["AAPL"], "slo": {"maxAgeSeconds": 60}},
    {"symbols": ["AAPL"], "slo": {"maxAgeSeconds": 60, "target": "99.95"}, "failureThreshold": 100},
    {"symbols": [f"S{number}" for number in range(500)]},
]
INTERVAL = 'interval is seconds (60) or a duration ("60s", "5m"), from 1s to 24h'
SYMBOL = "write the symbol in upper case"
PROVIDER = "write the provider's name in lower-case letters"
TARGET = 'target is a percentage between 0 and 100 as a string, such as "99.9"'
REFUSED = [
    ({"symbols": ["AAPL"], "interval": 0}, INTERVAL),
    ({"symbols": ["AAPL"], "interval": 86_401}, INTERVAL),
    ({"symbols": ["AAPL"], "interval": "25h"}, INTERVAL),
    ({"symbols": ["AAPL"], "interval": "abc"}, INTERVAL),
    ({"symbols": ["AAPL"], "interval": ""}, INTERVAL),
    ({"symbols": ["AAPL"], "interval": 1.5}, "must be of type integer"),
    ({"symbols": []}, "should have at least 1 items"),
    ({}, "spec.symbols: Required value"),
    ({"symbols": ["aapl"]}, SYMBOL),
    ({"symbols": ["A/B"]}, SYMBOL),
    ({"symbols": ["AAPL", "AAPL"]}, "Duplicate value"),
    ({"symbols": ["A" * 33]}, "may not be more than 32"),
    ({"symbols": [f"S{number}" for number in range(501)]}, "must have at most 500 items"),
    ({"symbols": ["AAPL"], "provider": "Yahoo!"}, PROVIDER),
    ({"symbols": ["AAPL"], "provider": "any"}, "any is a reserved name"),
    ({"symbols": ["AAPL"], "failureThreshold": 0}, "greater than or equal to 1"),
    ({"symbols": ["AAPL"], "slo": {}}, "spec.slo.maxAgeSeconds: Required value"),
    ({"symbols": ["AAPL"], "slo": {"maxAgeSeconds": 60, "target": "100"}}, TARGET),
    ({"symbols": ["AAPL"], "slo": {"maxAgeSeconds": 60, "target": "0"}}, TARGET),
    ({"symbols": ["AAPL"], "intervall": 5}, 'unknown field "spec.intervall"'),
]


def dry_run(spec):
    return kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(a_manifest("trial", spec)))


@pytest.mark.parametrize("spec", TAKEN, ids=lambda spec: json.dumps(spec)[-60:])
def test_a_right_object_is_taken(_definition, spec):
    assert "trial" in dry_run(spec)


@pytest.mark.parametrize(("spec", "says"), REFUSED, ids=[json.dumps(spec)[-60:] for spec, _ in REFUSED])
def test_a_wrong_object_is_refused_with_what_to_write_instead(_definition, spec, says):
    with pytest.raises(Refused) as refused:
        dry_run(spec)

    assert says in str(refused.value)


def test_kubectl_explain_reads_like_documentation(_definition):
    said = " ".join(kubectl("explain", "pj.spec", "--recursive=false").split())
    interval = " ".join(kubectl("explain", "pj.spec.interval").split())

    assert "What to watch, from whom, and how often." in said
    assert "Left out, the deployment's default is taken" in said
    assert 'seconds (60) or a duration ("60s", "5m", "1h30m"), from 1s to 24h' in interval


def test_objects_can_be_selected_by_provider_and_suspension(place):
    place.apply_all(
        a_manifest("one", {"symbols": ["A"], "provider": "synthetic", "suspend": True}),
        a_manifest("two", {"symbols": ["A"], "provider": "yfinance"}),
    )

    assert place.kubectl("get", "pj", "--field-selector=spec.provider=yfinance", "-o", "name").split() == [
        "pollingjob.marketdata.dev/two"
    ]
    assert place.kubectl("get", "pj", "--field-selector=spec.suspend=true", "-o", "name").split() == [
        "pollingjob.marketdata.dev/one"
    ]
