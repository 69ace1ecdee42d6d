"""Asks the Prometheus of the cluster, through the API server, as kubectl reaches any Service.

prometheus-operator gives each Prometheus the Service `prometheus-operated` in its namespace.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from support.releases import Release

SERVICE = "prometheus-operated"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The one Prometheus of the cluster that takes every monitor and rule."""

    release: Release
    namespace: str

    @classmethod
    def found(cls, release: Release) -> "Prometheus":
        services = release.get(
            "services", "--all-namespaces", "--field-selector", f"metadata.name={SERVICE}"
        )["items"]
        assert len(services) == 1, (
            f"one Prometheus is needed, made by prometheus-operator; {len(services)} are there"
        )
        return cls(release, services[0]["metadata"]["namespace"])

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer; an AssertionError says what Prometheus did not like."""
        where = f"/api/v1/namespaces/{self.namespace}/services/{SERVICE}:9090/proxy/api/v1/{path}"
        query = f"?{urlencode(parameters)}" if parameters else ""
        return json.loads(self.release.run("get", "--raw", where + query))["data"]

    def values(self, expression: str) -> list[float]:
        """Return the numbers that `expression` has now, without those that are none."""
        answer = self.ask("query", query=expression)
        assert answer["resultType"] == "vector", answer["resultType"]
        numbers = [float(each["value"][1]) for each in answer["result"]]
        return [number for number in numbers if math.isfinite(number)]

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return the alerting rules of the release by name."""
        mine = f"{self.release.namespace}/{self.release.name}/"
        groups = [each for each in self.ask("rules", type="alert")["groups"] if each["name"].startswith(mine)]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def states(self) -> dict[str, str]:
        """Return each alert's state: inactive, pending or firing."""
        return {name: cast("str", rule["state"]) for name, rule in self.rules().items()}
