"""The alerts on promises ask for what is measured, over a long and a short window, and lead to a runbook."""

import re

import pytest
import yaml

from marketdata.telemetry.catalogue import CATALOGUE
from support.chart import CHART
from support.servers import ROOT

NAMES = ("MarketDataPricesBurningBudgetFast", "MarketDataPricesBurningBudgetSlow")


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_on_promises_asks_for_metrics_and_labels_of_the_catalogue(name):
    expr = yaml.safe_load((CHART / "alerts" / f"{name}.yaml").read_text())["expr"]
    known = {metric.name: metric.labels for metric in CATALOGUE}

    asked = re.findall(r"(marketdata_\w+)\{([^}]*)\}", expr)
    assert len(asked) == 4
    for metric, labels in asked:
        assert {label.partition("=")[0] for label in labels.split(",")[1:]} <= known[metric].keys()
        assert "provider" in known[metric]


@pytest.mark.parametrize(("name", "share"), [*zip(NAMES, (0.02, 0.05), strict=True)])
def test_an_alert_on_promises_fires_where_its_share_of_thirty_days_budget_goes(name, share):
    parameters = yaml.safe_load((CHART / "alerts" / f"{name}.yaml").read_text())["parameters"]
    hours = int(parameters["window"].removesuffix("h"))

    assert parameters["threshold"] * hours / (30 * 24) == pytest.approx(share)
    assert parameters["short"] == f"{hours * 60 // 12}m"


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_on_promises_has_a_runbook_of_four_parts(name):
    runbook = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text()

    assert re.findall(r"^## (.+)$", runbook, re.MULTILINE) == [
        "Meaning",
        "Impact",
        "Diagnosis",
        "Mitigation",
    ]
