"""Asks the Prometheus of the cluster, through the API server, as kubectl reaches any Service.

prometheus-operator gives each Prometheus the Service `prometheus-operated` in its namespace.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode
from uuid import uuid4

from support.releases import Release
from support.waiting import eventually

SERVICE = "prometheus-operated"
_SCRAPED = {"api", "poller", "consumer", "lag", "operator"}


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

    def scrapes_all(self, *, by: str) -> None:
        """Wait until by this kind of monitor each pod of each component is scraped once, without an error."""
        self.read_anew()
        # Where the kubelet brings the rule first, the reloader finds the monitors when it looks by itself.
        eventually(lambda: self._check_targets(by), within=330, every=1)

    def read_anew(self) -> None:
        """Have the monitors of now taken up.

        The config-reloader beside Prometheus looks at what the operator made of them each three minutes
        (its --watch-interval), and whenever a file of rules changes.
        """
        rule = {"record": "tests:read_anew", "expr": "vector(1)"}
        self.release.apply(
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": {"name": "read-anew"},
                "spec": {"groups": [{"name": f"read-anew-{uuid4().hex}", "rules": [rule]}]},
            }
        )

    def _check_targets(self, monitor: str) -> bool:
        selector = f"app.kubernetes.io/component in ({', '.join(sorted(_SCRAPED))})"
        pods = self.release.get("pods", "--selector", selector)["items"]
        wished = {each["metadata"]["name"] for each in pods}
        targets = [
            each
            for each in self.ask("targets", state="active")["activeTargets"]
            if each["labels"].get("namespace") == self.release.namespace
        ]
        # For a while the monitor of before is what Prometheus still goes by.
        assert {each["scrapePool"].partition("/")[0] for each in targets} == {monitor}
        assert {each["labels"].get("pod") for each in targets} == wished
        assert len(targets) == len(wished), "a pod is scraped twice"
        wrong = [(each["labels"]["pod"], each["lastError"]) for each in targets if each["health"] != "up"]
        assert not wrong, wrong
        assert {each["labels"]["app_kubernetes_io_component"] for each in targets} == _SCRAPED
        return True
