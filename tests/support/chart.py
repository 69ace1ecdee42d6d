"""Renders the chart as Helm would install it, with the subcharts' places taken.

The subcharts come from a registry and are not committed. What a render of ours needs of them is
that they are there and that they see their values; the stand-in of each renders one ConfigMap of
what it was given.
"""

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "market-data"
STRIMZI = "kafka.strimzi.io/v1/Kafka"
PROFILES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "kind": ("values-kind.yaml",),
    "production": ("values-production.yaml",),
    "external": ("examples/external.yaml",),
    "cloudnative-pg": ("examples/cloudnative-pg.yaml",),
}
_STAND_IN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-{{ .Chart.Name }}-stand-in}
data: {given: {{ omit .Values "global" | toJson | quote }}}
"""


@dataclass(frozen=True, slots=True)
class Helm:
    """A Helm, and a copy of the chart with its dependencies in place."""

    binary: Path
    chart: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return what Helm answered, whatever it was."""
        return subprocess.run([str(self.binary), *arguments], text=True, capture_output=True, check=False)

    @cache  # noqa: B019 - one Helm a session, and the same render for many tests
    def answer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return what Helm answered to these arguments, now or before."""
        return self.run(*arguments)

    def render(self, **how: Any) -> str:
        """Return the manifests for the arguments of `arguments`; raises Refused with Helm's words."""
        answer = self.answer(*self.arguments(**how))
        if answer.returncode:
            raise Refused(answer.stderr)
        return answer.stdout

    def arguments(
        self,
        *,
        profile: str = "default",
        sets: Iterable[str] = (),
        apis: Sequence[str] = (STRIMZI,),
        values: Mapping[str, Any] | None = None,
        release: str = "md",
        namespace: str = "prices",
    ) -> list[str]:
        """Return what to tell Helm."""
        arguments = ["template", release, str(self.chart), "--namespace", namespace]
        for name in PROFILES[profile]:
            arguments += ["--values", str(CHART / name)]
        for each in sets:
            arguments += ["--set", each]
        for each in apis:
            arguments += ["--api-versions", each]
        if values is not None:
            given = self.chart.parent / f"given-{sha256(repr(values).encode()).hexdigest()[:12]}.yaml"
            given.write_text(yaml.safe_dump(dict(values)))
            arguments += ["--values", str(given)]
        return arguments

    def objects(self, **how: Any) -> "Objects":
        return Objects([each for each in yaml.safe_load_all(self.render(**how)) if each])


class Refused(Exception):
    """Helm did not render; the message is what it said."""


class Objects(list[dict[str, Any]]):
    """What was rendered."""

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of `kind` by name."""
        return {each["metadata"]["name"]: each for each in self if each["kind"] == kind}

    def one(self, kind: str, name: str) -> dict[str, Any]:
        found = self.of(kind)
        assert name in found, f"no {kind} {name}, only {sorted(found)}"
        return found[name]

    def pod_specs(self) -> dict[str, dict[str, Any]]:
        """Return every pod's spec by `Kind/name`."""
        specs = {}
        for each in self:
            if each["kind"] == "Pod":
                specs[f"Pod/{each['metadata']['name']}"] = each["spec"]
            elif "template" in each.get("spec", {}) and "spec" in each["spec"]["template"]:
                specs[f"{each['kind']}/{each['metadata']['name']}"] = each["spec"]["template"]["spec"]
        return specs

    def environment(self, name: str) -> dict[str, Any]:
        """Return the environment of the Deployment `name`, values or where they come from."""
        (container,) = self.one("Deployment", name)["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def with_stand_ins(folder: Path) -> Path:
    """Return a copy of the chart in `folder` in which every dependency is there."""
    chart = folder / "market-data"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("charts"))
    for dependency in yaml.safe_load((chart / "Chart.yaml").read_text())["dependencies"]:
        own = chart / "charts" / dependency["name"]
        (own / "templates").mkdir(parents=True)
        about = {"apiVersion": "v2", "name": dependency["name"], "version": dependency["version"]}
        (own / "Chart.yaml").write_text(yaml.safe_dump(about))
        (own / "values.yaml").write_text("nameOverride: ''\nfullnameOverride: ''\n")
        (own / "templates" / "given.yaml").write_text(_STAND_IN)
    return chart
