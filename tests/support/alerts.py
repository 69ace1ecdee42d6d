"""The alerts as the chart renders them, and what belongs to each."""

from dataclasses import dataclass
from typing import Any

from support.chart import CHART, ROOT, Helm

NAMES = sorted(path.stem for path in (CHART / "alerts").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = ROOT / "tests" / "alerts"
ALL = ("monitoring.alerts.enabled=true", "consumer.autoscaling.mode=hpa")
"""What makes the chart render every alert there is."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule, and the name of the object it is in."""

    object: str
    group: dict[str, Any]

    @property
    def rule(self) -> dict[str, Any]:
        (rule,) = self.group["rules"]
        return dict(rule)


def rendered(helm: Helm, *sets: str, values: dict[str, Any] | None = None) -> dict[str, Alert]:
    """Return the alerts by name."""
    found = helm.objects(sets=sets, values=values).of("PrometheusRule")
    alerts = [Alert(name, group) for name, each in found.items() for group in each["spec"]["groups"]]
    return {alert.rule["alert"]: alert for alert in alerts}
