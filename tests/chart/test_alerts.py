import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.alerts import ALL, CASES, NAMES, RUNBOOKS, rendered
from support.chart import Helm, Refused
from support.promql import selectors, strangers

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
every_alert = pytest.mark.parametrize("name", NAMES)


def test_there_are_none_unless_they_are_asked_for(helm: Helm) -> None:
    assert rendered(helm) == {}


def test_each_alert_is_a_file_an_object_a_runbook_and_a_set_of_cases(helm: Helm) -> None:
    alerts = rendered(helm, *ALL)
    assert sorted(alerts) == NAMES
    assert len({alert.object for alert in alerts.values()}) == len(NAMES)
    assert sorted(path.stem for path in RUNBOOKS.glob("MarketData*.md")) == NAMES
    assert sorted(path.stem for path in CASES.glob("*.yaml")) == NAMES


@every_alert
def test_an_alert_asks_only_for_what_is_measured_in_its_release(helm: Helm, name: str) -> None:
    expression = rendered(helm, *ALL)[name].rule["expr"]
    assert "$" not in expression
    assert strangers(expression) == []
    for each in selectors(expression):
        assert each.matched >= {"namespace", "app_kubernetes_io_instance"}
    assert expression.count('namespace="prices",app_kubernetes_io_instance="md"') == len(
        selectors(expression)
    )


@every_alert
def test_an_alert_says_what_it_means_and_where_to_read_on(helm: Helm, name: str) -> None:
    rule = rendered(helm, *ALL, "monitoring.alerts.runbookUrl=https://runbooks.example.com/")[name].rule
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["labels"] | {"namespace": "prices", "release": "md"} == rule["labels"]
    about = rule["annotations"]
    assert about["runbook_url"] == f"https://runbooks.example.com/{name}.md"
    assert 10 < len(about["summary"]) < 90
    assert about["description"].endswith(".")
    own = re.sub(r"\{\{.*?\}\}", "", about["summary"] + about["description"])
    assert "$" not in own
    kept = frozenset[str]().union(*(each.kept for each in selectors(rule["expr"])))
    said = set(re.findall(r"\$labels\.(\w+)", about["summary"] + about["description"]))
    assert said == kept


@every_alert
def test_a_runbook_has_the_four_parts_and_nothing_is_empty(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    assert parts[::2] == HEADINGS
    assert all(len(words.split()) >= 8 for words in parts[1::2])


@every_alert
def test_the_cases_of_an_alert_see_it_fire_resolve_and_stay_silent(name: str) -> None:
    cases = [
        [bool(check["exp_alerts"]) for check in test["alert_rule_test"] if check["alertname"] == name]
        for test in yaml.safe_load((CASES / f"{name}.yaml").read_text())["tests"]
    ]
    assert any(case[0] is False and True in case and case[-1] is False for case in cases)
    assert any(True not in case for case in cases)


def test_an_alert_can_be_left_out_and_changed(helm: Helm) -> None:
    changed = {
        "monitoring": {
            "alerts": {
                "disabled": ["MarketDataDeadLetters"],
                "labels": {"prometheus": "main"},
                "alertLabels": {"team": "prices"},
                "overrides": {"MarketDataOutboxOld": {"threshold": 7, "for": "10s", "severity": "info"}},
            }
        }
    }
    alerts = rendered(helm, *ALL, values=changed)
    assert sorted(alerts) == [name for name in NAMES if name != "MarketDataDeadLetters"]
    rule = alerts["MarketDataOutboxOld"].rule
    assert rule["expr"].endswith("> 7")
    assert "7 s" in rule["annotations"]["description"]
    assert (rule["for"], rule["labels"]["severity"], rule["labels"]["team"]) == ("10s", "info", "prices")
    objects = helm.objects(sets=ALL, values=changed).of("PrometheusRule").values()
    assert all(each["metadata"]["labels"]["prometheus"] == "main" for each in objects)


def test_alerts_on_what_does_not_run_are_not_made(helm: Helm) -> None:
    assert "MarketDataOperatorNotConverging" not in rendered(helm, *ALL, "operator.enabled=false")
    scaled = ("monitoring.alerts.enabled=true", "consumer.autoscaling.mode=keda")
    on_lag = set(rendered(helm, *scaled)) - set(rendered(helm, *scaled, "lag.enabled=false"))
    assert on_lag == {
        "MarketDataConsumerStuck", "MarketDataConsumersAtMaximum", "MarketDataLagNotDraining",
        "MarketDataLagUnknown",
    }  # fmt: skip
    assert "MarketDataConsumersAtMaximum" not in rendered(helm, "monitoring.alerts.enabled=true")


@pytest.mark.parametrize(
    "where", ["disabled={MarketDataOutboxOlder}", "overrides.MarketDataOutboxOlder.for=1m"]
)
def test_a_misspelt_alert_is_refused_with_the_ones_there_are(helm: Helm, where: str) -> None:
    with pytest.raises(Refused, match=r"MarketDataOutboxOlder, which is no alert.*MarketDataOutboxOld,"):
        helm.render(sets=[f"monitoring.alerts.{where}"])


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("MarketDataPricesStale.window=1m", "of this alert choose from for, severity, threshold"),
        ("MarketDataLagUnknown.threshold=3", "of this alert choose from for, severity"),
    ],
)
def test_a_change_that_an_alert_has_no_place_for_is_refused(helm: Helm, override: str, remedy: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(sets=[f"monitoring.alerts.overrides.{override}"])
    assert f"overrides.{override.partition('=')[0]} would change nothing: {remedy}" in str(refused.value)


def test_an_alert_leads_nowhere_until_it_is_known_where_runbooks_are_read(helm: Helm) -> None:
    for profile in ("default", "production"):
        rules = helm.objects(profile=profile, sets=ALL).of("PrometheusRule").values()
        assert rules
        for each in rules:
            (group,) = each["spec"]["groups"]
            assert "runbook_url" not in group["rules"][0]["annotations"]
    with pytest.raises(Refused, match="runbookUrl"):
        rendered(helm, *ALL, "monitoring.alerts.runbookUrl=docs/runbooks")


@pytest.fixture
def promtool(helm: Helm, tmp_path: Path) -> tuple[str, Path]:
    """Prometheus' own tool, and a folder with the rules as the chart renders them."""
    found = shutil.which("promtool")
    assert found, "promtool is not on the PATH; Debian's package prometheus or promtool has it"
    groups = [alert.group for alert in rendered(helm, *ALL).values()]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    return found, tmp_path


@pytest.mark.promtool
def test_prometheus_takes_every_rule(promtool: tuple[str, Path]) -> None:
    tool, folder = promtool
    done = subprocess.run(
        [tool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(NAMES)} rules found" in done.stdout


@pytest.mark.promtool
@every_alert
def test_prometheus_fires_resolves_and_stays_silent_as_its_cases_say(
    promtool: tuple[str, Path], name: str
) -> None:
    tool, folder = promtool
    shutil.copy(CASES / f"{name}.yaml", folder)
    done = subprocess.run(
        [tool, "test", "rules", f"{name}.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
