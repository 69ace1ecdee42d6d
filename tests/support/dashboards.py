"""The dashboards as they ship, and their panels' queries as Grafana would send them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketdata_tools.dashboards.answers import fill, panels
from support.chart import CHART

FILES = sorted((CHART / "dashboards").glob("*.json"))


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel."""

    dashboard: str
    panel: str
    reference: str
    expression: str
    legend: str

    def filled(self, variables: Mapping[str, str]) -> str:
        """Return the expression with its variables replaced; a variable without a value is a KeyError."""
        return fill(self.expression, variables)


def documents() -> dict[str, dict[str, Any]]:
    """Return the dashboards by name."""
    return {path.stem: json.loads(path.read_text()) for path in FILES}


def queries() -> list[PanelQuery]:
    """Return every query of every dashboard."""
    return [
        PanelQuery(name, panel["title"], target["refId"], target["expr"], target["legendFormat"])
        for name, document in documents().items()
        for panel in panels(document)
        for target in panel["targets"]
    ]
