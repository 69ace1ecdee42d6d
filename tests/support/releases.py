"""An installed release on the cluster that KUBECONFIG names, and what people do with it.

Everything goes through Helm and kubectl, as it does for people. The API is asked from within the
cluster, through its Service.
"""

import json
import subprocess
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import yaml

from support.chart import CHART
from support.waiting import eventually

READY_WITHIN_SECONDS = 180
# A deletion that the operator's watch missed is found by its next sweep: 132 s after the last one at most,
# which may have read its list just before.
SWEPT_WITHIN_SECONDS = 180
_COMPONENT = "app.kubernetes.io/component"
_ASK = """\
import json, sys, urllib.error, urllib.request
method, url, body = sys.argv[1:4]
kind = {"content-type": "application/json"}
request = urllib.request.Request(url, data=body.encode() or None, method=method, headers=kind)
try:
    answer = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode(), dict(answer.headers)]))
"""


_QUERY = """\
import json, os, psycopg2, sys
from pathlib import Path
connection = psycopg2.connect(
    host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"], user=os.environ["DB_USER"],
    password=Path(os.environ["DB_PASSWORD_FILE"]).read_text().strip(),
)
cursor = connection.cursor()
cursor.execute(sys.argv[1])
print(json.dumps(cursor.fetchall()))
"""


@dataclass(frozen=True, slots=True)
class Release:
    """One release in a namespace of its own."""

    helm: Path
    kubectl: Path
    namespace: str
    settings: tuple[str, ...] = field(default=())
    name: str = "md"

    def run_helm(self, *arguments: str, within: float = 300) -> str:
        return _run([str(self.helm), *arguments, "--namespace", self.namespace], within=within)

    def run(self, *arguments: str, within: float = 120, given: str | None = None) -> str:
        """Return what kubectl says in the release's namespace."""
        return _run(
            [str(self.kubectl), "--namespace", self.namespace, *arguments], within=within, given=given
        )

    def get(self, *arguments: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.run("get", *arguments, "--output", "json")))

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self.run("apply", "--filename", "-", given=yaml.safe_dump_all(manifests))

    def install(self) -> None:
        """Install, and return when all is ready and reached; fails if it is ready later than is promised.

        That the pods behind a Service are ready is known to Helm before it is to kube-proxy, which refuses
        connections until then.
        """
        self.run_helm(
            "install", self.name, str(CHART), *self._given(), "--take-ownership",
            "--wait", "--timeout", f"{READY_WITHIN_SECONDS}s",
        )  # fmt: skip
        eventually(lambda: self.ask("GET", "/version")[0] == 200, within=60, every=1)

    def upgrade(self, *settings: str, json_settings: Sequence[str] = ()) -> None:
        """Upgrade to the settings of the install and these, and wait."""
        structured = [part for each in json_settings for part in ("--set-json", each)]
        self.run_helm(
            "upgrade", self.name, str(CHART), *self._given(*settings), *structured,
            "--wait", "--timeout", "180s",
        )  # fmt: skip

    def leave_autoscaling(self, kind: str, *settings: str) -> None:
        """Go back to the number of pods that the install gives, as docs/guides/scaling.md says.

        `settings` are what it is to have besides those of the install.
        """
        self.run("delete", kind, "--selector", f"app.kubernetes.io/instance={self.name}", "--wait=true")
        # What KEDA made of its object is collected after it, and would scale what is upgraded next.
        eventually(lambda: not self.get("horizontalpodautoscalers")["items"], within=60, every=1)
        self.run_helm(
            "upgrade", self.name, str(CHART), *self._given(*settings), "--force-conflicts",
            "--wait", "--timeout", "180s",
        )  # fmt: skip

    def rollback(self) -> None:
        self.run_helm("rollback", self.name, "--wait", "--timeout", "180s")

    def uninstall(self) -> None:
        self.run_helm("uninstall", self.name, "--wait", "--timeout", "120s", within=150)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Return the status and the document that the API answers, asked through its Service."""
        status, text, _ = self._asked(method, path, body)
        return status, json.loads(text) if text else None

    def poll(self, *symbols: str) -> str:
        """Have these polled each second; return the job's id once it has brought a price of the first."""
        job = {"symbols": symbols, "provider": "synthetic", "interval": 1}
        before = self._fetched_at(symbols[0])
        status, answer = self.ask("POST", "/prices/poll", job)
        assert status == 202, answer
        eventually(lambda: self._fetched_at(symbols[0]) not in {None, before}, within=90, every=1)
        return str(answer["job_id"])

    def _fetched_at(self, symbol: str) -> str | None:
        """Return of when the latest price is, None where there is none."""
        status, price = self.ask("GET", f"/prices/latest?symbol={symbol}")
        return str(price["fetched_at"]) if status == 200 else None

    def retire(self, job: str) -> None:
        status, answer = self.ask("DELETE", f"/prices/poll/{job}")
        assert status == 204, answer

    def polls_nothing(self) -> bool:
        """Tell whether no job is left: the operator forgets one some time after its object is gone."""
        status, jobs = self.ask("GET", "/prices/poll")
        assert status == 200, jobs
        return not jobs["data"]

    def source(self, path: str) -> str:
        """Return where the API says it has the latest price of `path` from."""
        status, answer, headers = self._asked("GET", path, None)
        assert status == 200, answer
        return headers["x-cache"]

    def history(self, symbol: str) -> list[dict[str, Any]]:
        """Return every price of `symbol` that the API has, page after page."""
        found: list[dict[str, Any]] = []
        path = first = f"/prices/history?symbol={symbol}&limit=1000"
        while True:
            status, page = self.ask("GET", path)
            assert status == 200, page
            found += page["data"]
            if not page["next_page_token"]:
                return found
            path = f"{first}&page_token={quote(page['next_page_token'])}"

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, at: str | None = None
    ) -> tuple[int, str, dict[str, str]]:
        url = f"http://{at or f'{self.name}-market-data-api'}{path}"
        text = self.run(
            "exec", f"deploy/{self.name}-market-data-poller", "--",
            "python", "-c", _ASK, method, url, json.dumps(body) if body is not None else "",
        )  # fmt: skip
        status, answer, headers = json.loads(text)
        return status, answer, {name.lower(): value for name, value in headers.items()}

    def query(self, statement: str) -> list[list[Any]]:
        """Return what the release's database answers."""
        api = f"deploy/{self.name}-market-data-api"
        answer = self.run("exec", api, "--", "python", "-c", _QUERY, statement)
        return cast("list[list[Any]]", json.loads(answer))

    def ledger(self) -> dict[str, Any]:
        status, document = self.ask("GET", "/prices/ledger")
        assert status == 200, document
        return cast("dict[str, Any]", document)

    def stores_more_than(self, count: int) -> None:
        """Wait until more events than that are stored."""
        eventually(lambda: self.ledger()["counters"]["stored"] > count, within=60, every=1)

    def settled(self) -> dict[str, Any]:
        """Return the ledger once it balances with nothing open; waits for that."""

        def balanced() -> dict[str, Any]:
            ledger = self.ledger()
            assert ledger["balanced"], ledger
            assert ledger["events"], ledger
            assert all(each["open"] == 0 for each in ledger["events"]), ledger
            return ledger

        return eventually(balanced, within=90, every=1)

    def is_ready(self) -> bool:
        """Tell whether every Deployment and StatefulSet has all its pods ready, none left from before.

        The pods themselves are counted: for a moment after one is gone its controller's status still
        counts it, and it never counts one that is ending.
        """
        found = self.get("deployments,statefulsets,pods")["items"]
        pods = [each for each in found if each["kind"] == "Pod"]
        return all(_is_complete(each, pods) for each in found if each["kind"] != "Pod")

    def answers_from_each_pod(self) -> bool:
        """Tell whether each pod of the API reads the database.

        A pod that found it away says so until it looks again by itself, whatever the others answer.
        """
        pods = self.get("pods", "--selector", f"{_COMPONENT}=api")["items"]
        standing = [each for each in pods if "deletionTimestamp" not in each["metadata"]]
        answers = [
            self._asked("GET", "/prices/poll", None, at=f"{each['status'].get('podIP')}:8000")[0]
            for each in standing
        ]
        return set(answers) == {200}

    def kill(self, selector: str) -> None:
        """Kill the pods that `selector` finds, without a word to them; return when they are gone.

        A pod with a claim has a second: forced, its successor would start on the same volume while
        it still runs, and two Postgres servers on one data directory destroy it (seen once in 19).
        """
        volumes = [
            volume
            for pod in self.get("pods", "--selector", selector)["items"]
            for volume in pod["spec"]["volumes"]
        ]
        has_claim = any("persistentVolumeClaim" in volume for volume in volumes)
        self._delete(selector, *(["--grace-period=1"] if has_claim else ["--force", "--grace-period=0"]))

    def send_away(self, selector: str) -> None:
        """Delete the pods that `selector` finds, which may end in peace; return when they are gone."""
        self._delete(selector)

    def _delete(self, selector: str, *how: str) -> None:
        victims = self._uids(selector)
        assert victims, f"no pod is {selector}"
        self.run("delete", "pods", "--selector", selector, "--wait=false", *how)
        eventually(lambda: not victims & self._uids(selector), within=90, every=0.5)

    def _uids(self, selector: str) -> set[str]:
        return {each["metadata"]["uid"] for each in self.get("pods", "--selector", selector)["items"]}

    def secret(self, name: str) -> dict[str, str]:
        """Return what a Secret holds."""
        return {key: b64decode(value).decode() for key, value in self.get("secret", name)["data"].items()}

    def set_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Change some keys of a Secret."""
        self.run("patch", "secret", name, "--type=merge", "--patch", json.dumps({"stringData": values}))

    def in_each(self, component: str, *command: str) -> list[str]:
        """Return what the command says in each of a component's pods."""
        pods = self.run("get", "pods", "--selector", f"{_COMPONENT}={component}", "--output", "name").split()
        return [self.run("exec", pod, "--", *command) for pod in pods]

    def starts(self) -> dict[str, list[int]]:
        """Return how often each container of our own pods was started again, by pod; of those to stay."""
        ours = f"{_COMPONENT} in (api, poller, consumer, operator)"
        return {
            each["metadata"]["name"]: [
                status["restartCount"] for status in each["status"]["containerStatuses"]
            ]
            for each in self.get("pods", "--selector", ours)["items"]
            if "deletionTimestamp" not in each["metadata"]
        }

    def _given(self, *settings: str) -> list[str]:
        return [part for each in (*self.settings, *settings) for part in ("--set", each)]


def _is_complete(controller: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a controller has rolled out its template, and its pods are those and all ready."""
    wished, status = controller["spec"]["replicas"], controller["status"]
    if status.get("observedGeneration") != controller["metadata"]["generation"]:
        return False
    counted = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    labels = controller["spec"]["selector"]["matchLabels"].items()
    alive = [each for each in pods if each["status"]["phase"] not in {"Succeeded", "Failed"}]
    mine = [each for each in alive if labels <= each["metadata"].get("labels", {}).items()]
    return counted == {wished} and len(mine) == wished and all(_is_pod_ready(each) for each in mine)


def _is_pod_ready(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ())
    )


class CommandFailed(AssertionError):
    """A command did not end well, or not in time; the message is what it said."""


def _run(command: list[str], *, within: float, given: str | None = None) -> str:
    try:
        answer = subprocess.run(
            command, text=True, capture_output=True, check=False, timeout=within, input=given
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{' '.join(command[:6])} …: not done after {within:g} s") from None
    if answer.returncode:
        raise CommandFailed(f"{' '.join(command[:6])} …: {answer.stderr[-3000:]}{answer.stdout[-1000:]}")
    return answer.stdout
