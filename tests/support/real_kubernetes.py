"""The Kubernetes that KUBECONFIG names, through kubectl, in a namespace of the test's own."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lightkube.config.kubeconfig import KubeConfig

from marketdata.clock import SystemClock
from marketdata_operator.api_server import ApiServer
from marketdata_operator.board import Board
from support.kubernetes import write_kubeconfig
from support.servers import ROOT
from support.waiting import eventually
from support.watching import watching

DEFINITION = ROOT / "charts" / "market-data" / "files" / "pollingjobs.yaml"
CRD = "crd/pollingjobs.marketdata.dev"
_PREFIX = "op-"

# What operator/README.md says the operator needs.
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["marketdata.dev"], "resources": ["pollingjobs"], "verbs": ["list", "watch"]},
    {"apiGroups": ["marketdata.dev"], "resources": ["pollingjobs/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]


class Refused(AssertionError):
    """kubectl failed; its words are the message."""


def kubectl(*arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
    """Run kubectl and return its output; raises Refused with what it said."""
    kubeconfig = os.getenv("KUBECONFIG")  # noqa: TID251 - which cluster the tests may use is said from outside
    assert kubeconfig, "the cluster tests need KUBECONFIG"
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def a_manifest(name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "marketdata.dev/v1alpha1",
        "kind": "PollingJob",
        "metadata": {"name": name, **metadata},
        "spec": dict(spec),
    }


@contextmanager
def definition() -> Iterator[None]:
    """Have the definition of PollingJobs: as it is, or put there and taken away again."""
    try:
        kubectl("get", CRD)
    except Refused:
        kubectl("apply", "--server-side", "-f", str(DEFINITION))
    else:
        yield
        return
    kubectl("wait", "--for=condition=Established", CRD, "--timeout=30s")
    # What is established is served; what kubectl finds by a short name is told a moment later.
    eventually(lambda: "pollingjobs" in kubectl("api-resources", "-o", "name"), within=60, every=0.5)
    try:
        yield
    finally:
        # Namespaces go on ending after their tests; what is left then is not of these.
        eventually(lambda: not ending_namespaces(), within=240, every=1.0)
        if not kubectl("get", "pollingjobs", "-A", "-o", "name").strip():
            kubectl("delete", CRD, "--wait=true")


def ending_namespaces() -> list[str]:
    """Return the namespaces of tests that are being deleted."""
    found = (each["metadata"] for each in json.loads(kubectl("get", "namespaces", "-o", "json"))["items"])
    return [
        each["name"] for each in found if each["name"].startswith(_PREFIX) and "deletionTimestamp" in each
    ]


@dataclass
class Namespace:
    """A namespace of one test; also a place for the contract."""

    namespace: str
    folder: Path
    server: ApiServer
    proxied: Path  # a kubeconfig that leads through `kubectl proxy` on loopback

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def apply_all(self, *manifests: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def apply(self, name: str, spec: Mapping[str, Any]) -> None:
        self.apply_all(a_manifest(name, spec))

    def patch(self, name: str, **spec: Any) -> None:
        self.kubectl("patch", "pj", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self, *names: str) -> None:
        self.kubectl("delete", "pj", *(names or ("--all",)), "--wait=true")

    def get(self, name: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.kubectl("get", "pj", name, "-o", "json"))
        return read

    def items(self) -> list[dict[str, Any]]:
        read: list[dict[str, Any]] = json.loads(self.kubectl("get", "pj", "-o", "json"))["items"]
        return read

    def add_condition(self, name: str, condition: Mapping[str, Any], manager: str) -> None:
        body = {
            "apiVersion": "marketdata.dev/v1alpha1",
            "kind": "PollingJob",
            "metadata": {"name": name},
            "status": {"conditions": [dict(condition)]},
        }
        self.kubectl(
            "apply", "--server-side", "--subresource=status", f"--field-manager={manager}", "-f", "-",
            stdin=yaml.safe_dump(body),
        )  # fmt: skip

    def events(self, name: str) -> list[dict[str, Any]]:
        selector = f"--field-selector=involvedObject.name={name}"
        read: list[dict[str, Any]] = json.loads(self.kubectl("get", "events", selector, "-o", "json"))[
            "items"
        ]
        return read

    def watch(self, board: Board) -> AbstractContextManager[None]:
        return watching(board, self.proxied, {self.namespace})

    def condition(self, name: str, kind: str = "Ready") -> tuple[str, str] | None:
        conditions = self.get(name).get("status", {}).get("conditions", ())
        return next(((each["status"], each["reason"]) for each in conditions if each["type"] == kind), None)

    def service_account(self) -> Path:
        """Make an account with the operator's rights here, and return a kubeconfig of it."""
        self.apply_all(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
        )
        self.allow()
        self.grant()
        token = self.kubectl("create", "token", "operator", "--duration=1h").strip()
        found = json.loads(kubectl("config", "view", "--minify", "--raw", "-o", "json"))["clusters"][0][
            "cluster"
        ]
        return write_kubeconfig(
            self.folder, found["server"], token=token, ca_file=found.get("certificate-authority"),
            ca_data=found.get("certificate-authority-data"),
        )  # fmt: skip

    def allow(self, *, but: str | None = None) -> None:
        """Have the operator's role hold all that it says it needs, but for one verb."""
        rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != but]} for rule in RULES]
        self.apply_all(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "operator"},
                "rules": [rule for rule in rules if rule["verbs"]],
            }
        )

    def grant(self) -> None:
        """Bind the operator's rights to its account."""
        self.kubectl(
            "create",
            "rolebinding",
            "operator",
            "--role=operator",
            f"--serviceaccount={self.namespace}:operator",
        )

    def revoke(self) -> None:
        self.kubectl("delete", "rolebinding", "operator")


@contextmanager
def new_namespace(folder: Path) -> Iterator[Namespace]:
    """Yield a new namespace, which at the end begins to be deleted with all that is in it."""
    name = f"{_PREFIX}{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    with _proxy() as port:
        proxied = write_kubeconfig(folder, f"http://127.0.0.1:{port}")
        config = KubeConfig.from_file(proxied).get()
        assert config is not None
        server = ApiServer(config, namespaces={name}, clock=SystemClock())
        try:
            yield Namespace(name, folder, server, proxied)
        finally:
            server.close()
            kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def _proxy() -> Iterator[int]:
    """Run `kubectl proxy`: tests reach nothing but loopback themselves."""
    with subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            yield int(said.rsplit(":", 1)[1])
        finally:
            process.terminate()


def made(place: Namespace, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Apply many objects and return when the API server has them all."""
    place.apply_all(*manifests)
    eventually(lambda: len(place.items()) >= len(manifests), within=60, every=1.0)
