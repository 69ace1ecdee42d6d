"""The definition says the domain's rules; a real API server is asked in tests/cluster."""

import re

import pytest
import yaml

from marketdata.domain.job import MAX_INTERVAL_SECONDS, parse_interval
from marketdata.errors import InvalidInput
from marketdata_operator import crd
from marketdata_operator.crd_spec import _INTERVAL_PATTERN
from support.servers import ROOT

VERSION = crd.definition()["spec"]["versions"][0]


def nodes(node, path="schema"):
    """Yield every node of the schema with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


SCHEMA = dict(nodes(VERSION["schema"]["openAPIV3Schema"]))
OURS = {path: node for path, node in SCHEMA.items() if path.startswith(("schema.spec", "schema.status"))}


@pytest.mark.parametrize("path", OURS, ids=str)
def test_every_value_is_bounded(path):
    node = OURS[path]
    if node.get("type") == "string" and "enum" not in node:
        assert node["maxLength"] > 0
    if node.get("type") == "array":
        assert node["maxItems"] > 0
        assert node["x-kubernetes-list-type"] in {"set", "map"}
    if node.get("type") == "integer":
        assert "minimum" in node
        assert node["format"] in {"int32", "int64"}


@pytest.mark.parametrize("path", [path for path in OURS if not path.endswith("[]")], ids=str)
def test_every_field_is_described_in_sentences(path):
    says = OURS[path]["description"]

    assert says[0] in "ABCDEFGHIJKLMNOPQRSTUVWXYZs"
    assert says.endswith((".", '"`.'))
    assert "  " not in says


@pytest.mark.parametrize("path", [path for path, node in OURS.items() if "x-kubernetes-validations" in node])
def test_every_rule_says_what_to_write(path):
    for rule in OURS[path]["x-kubernetes-validations"]:
        assert len(rule["message"]) > 30


def test_nothing_that_the_design_left_out_is_there():
    assert set(SCHEMA["schema.spec"]["properties"]) == {
        "symbols", "provider", "interval", "suspend", "failureThreshold", "slo",
    }  # fmt: skip
    assert "default" not in SCHEMA["schema.spec.provider"]
    assert not {"phase", "price", "prices"} & set(SCHEMA["schema.status"]["properties"])


@pytest.mark.parametrize(
    "text", ["60s", "5m", "1h30m", "24h", "0s", "25h", "abc", "", "1m1h", "86401s", "00001s"]
)
def test_the_interval_rule_and_the_domain_agree(text):
    found = re.fullmatch(_INTERVAL_PATTERN, text) if text else None
    seconds = sum(
        int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([hms])", text)
    )
    is_allowed = bool(found) and 1 <= seconds <= MAX_INTERVAL_SECONDS
    try:
        parse_interval(text)
    except InvalidInput:
        assert not is_allowed
    else:
        assert is_allowed


def test_the_samples_use_no_field_that_is_not_there():
    suspended = ROOT / "k8s" / "examples" / "suspended.yaml"
    for path in [*sorted((ROOT / "k8s" / "samples").glob("*.yaml")), suspended]:
        for document in yaml.safe_load_all(path.read_text()):
            assert document["apiVersion"] == "marketdata.dev/v1alpha1"
            assert set(document["spec"]) <= set(SCHEMA["schema.spec"]["properties"])


def test_the_definition_reads_back_from_its_rendering():
    assert yaml.safe_load(crd.render()) == crd.definition()
    assert crd.render() == crd.render()
