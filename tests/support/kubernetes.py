"""A stand-in for the Kubernetes API: what the operator uses of it, on loopback, with faults to order.

Lists in pages of one moment, watches with bookmarks, status by server-side apply, events. It knows
no validation and no RBAC beyond verbs that a test forbids. The operator runs on it as it ships; the
contract in support/kubernetes_contract.py holds it against the real thing.
"""

import copy
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from support.json_server import JsonHandler

GROUP, VERSION, PLURAL = "marketdata.dev", "v1alpha1", "pollingjobs"
_API = f"/apis/{GROUP}/{VERSION}"
_BOOKMARK_SECONDS = 5.0

Body = dict[str, Any]
Key = tuple[str, str]


class Gone(Exception):
    """A status to be answered instead of what was asked for."""

    def __init__(
        self, code: int, reason: str, *, name: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(reason)
        self.code = code
        details = {
            **({"name": name} if name else {}),
            **({"retryAfterSeconds": retry_after} if retry_after else {}),
        }
        self.body = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": f"{PLURAL}.{GROUP} {name or ''}: {reason}", "details": details,
        }  # fmt: skip


class Cluster:
    """The objects of one cluster and the server that tells of them."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.events: list[Body] = []
        self.forbidden: set[str] = set()
        self.is_installed = True
        self.is_away = False
        self.empty_lists = 0  # so many of the next ones are empty, as on another cluster
        self.refused_status: str | None = None  # an object whose status is invalid
        self._changed = threading.Condition()
        self._objects: dict[Key, Body] = {}
        self._owned: dict[str, dict[str, set[str]]] = {}  # uid -> manager -> condition types
        self._history: list[tuple[int, str, Body]] = []
        self._oldest = 0
        self._version = 100
        self._snapshots: dict[str, tuple[int, list[Body]]] = {}
        self._epoch = 0  # watches of an older one are cut
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, name="kubernetes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut_watches()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def kubeconfig(self, folder: Path, *, port: int | None = None) -> Path:
        """Write a kubeconfig that leads here, or to a proxy's `port`, and return its path."""
        return write_kubeconfig(folder, f"http://127.0.0.1:{port or self.port}")

    # What users do.

    def apply(
        self,
        name: str,
        spec: Body,
        *,
        namespace: str = "default",
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Create or change an object and return its uid."""
        with self._changed:
            before = self._objects.get((namespace, name))
            body = copy.deepcopy(before) if before else self._new(name, namespace)
            if annotations is not None:
                body["metadata"]["annotations"] = dict(annotations)
            if before is None or before["spec"] != spec:
                body["metadata"]["generation"] += 1
            body["spec"] = copy.deepcopy(spec)
            self._put("MODIFIED" if before else "ADDED", body)
            return str(body["metadata"]["uid"])

    def delete(self, name: str, *, namespace: str = "default", in_silence: bool = False) -> None:
        """Remove an object; `in_silence` without a DELETED event, as if the watch had missed it."""
        with self._changed:
            body = self._objects.pop((namespace, name))
            if not in_silence:
                self._tell("DELETED", body)

    def get(self, name: str, *, namespace: str = "default") -> Body:
        with self._changed:
            return copy.deepcopy(self._objects[namespace, name])

    def names(self) -> list[str]:
        with self._changed:
            return sorted(name for _, name in self._objects)

    # What goes wrong.

    def cut_watches(self) -> None:
        """Close all watches that are open."""
        with self._changed:
            self._epoch += 1
            self._changed.notify_all()

    def forget_history(self) -> None:
        """Answer 410 to watches from before now."""
        with self._changed:
            self._oldest = self._version + 1
            self._version += 1
            self._history.clear()
        self.cut_watches()

    # What the server answers.

    def check(self, verb: str) -> None:
        """Count a request, and raise what it is to be answered with if that is a refusal."""
        self.requests[verb] += 1
        if self.is_away:
            raise Gone(503, "ServiceUnavailable", retry_after=1)
        if verb in self.forbidden:
            raise Gone(403, "Forbidden")
        if not self.is_installed:
            raise Gone(404, "NotFound")

    def page(self, namespace: str | None, query: Mapping[str, str]) -> Body:
        """Return one page of a list."""
        with self._changed:
            if "continue" in query:
                token, _, offset = query["continue"].partition(":")
                version, items = self._snapshots[token]
                start = int(offset)
            else:
                token, start, version = uuid.uuid4().hex, 0, self._version
                items = [] if self.empty_lists else [copy.deepcopy(o) for o in self._in(namespace)]
                if self.empty_lists:  # else untouched: a test may be giving the order at this moment
                    self.empty_lists -= 1
                self._snapshots[token] = (version, items)
            limit = int(query.get("limit") or len(items) or 1)
            metadata: Body = {"resourceVersion": str(version)}
            if start + limit < len(items):
                metadata["continue"] = f"{token}:{start + limit}"
            return {
                "apiVersion": f"{GROUP}/{VERSION}", "kind": "PollingJobList", "metadata": metadata,
                "items": items[start : start + limit],
            }  # fmt: skip

    def watch(self, namespace: str | None, query: Mapping[str, str]) -> Iterator[Body]:
        """Yield watch events until the watch is cut."""
        seen = int(query.get("resourceVersion") or 0)
        with self._changed:
            epoch = self._epoch
        while True:
            with self._changed:
                if epoch != self._epoch:
                    return
                if seen and seen < self._oldest:
                    yield {"type": "ERROR", "object": Gone(410, "Expired").body}
                    return
                news = [entry for entry in self._history if entry[0] > seen]
                if not news and not self._changed.wait(_BOOKMARK_SECONDS):
                    news = [
                        (self._version, "BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}})
                    ]
            for version, kind, body in news:
                seen = version
                if namespace in {None, body["metadata"].get("namespace")} or kind == "BOOKMARK":
                    yield {"type": kind, "object": body}

    def apply_status(self, key: Key, manager: str, body: Body) -> Body:
        """Do a server-side apply of status: the manager's fields, and its conditions by type."""
        _, name = key
        with self._changed:
            standing = self._objects.get(key)
            if standing is None:
                raise Gone(404, "NotFound", name=name)
            uid, version = standing["metadata"]["uid"], standing["metadata"]["resourceVersion"]
            if body["metadata"].get("resourceVersion", version) != version:
                raise Gone(409, "Conflict", name=name)
            if name == self.refused_status:
                raise Gone(422, "Invalid", name=name)
            changed = copy.deepcopy(standing)
            applied = body["status"]
            wished = {each["type"]: each for each in applied.get("conditions", ())}
            owned = self._owned.setdefault(uid, {})
            mine, owned[manager] = owned.get(manager, set()), set(wished)
            kept = [
                each
                for each in changed.get("status", {}).get("conditions", ())
                if each["type"] not in mine | wished.keys()
            ]
            changed["status"] = {**copy.deepcopy(applied), "conditions": [*kept, *wished.values()]}
            if changed != standing:
                self._put("MODIFIED", changed)
            return copy.deepcopy(self._objects[key])

    def _in(self, namespace: str | None) -> list[Body]:
        return [body for (place, _), body in sorted(self._objects.items()) if namespace in {None, place}]

    def _new(self, name: str, namespace: str) -> Body:
        return {
            "apiVersion": f"{GROUP}/{VERSION}", "kind": "PollingJob",
            "metadata": {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "generation": 0},
        }  # fmt: skip

    def _put(self, kind: str, body: Body) -> None:
        metadata = body["metadata"]
        self._tell(kind, body)
        self._objects[metadata["namespace"], metadata["name"]] = body

    def _tell(self, kind: str, body: Body) -> None:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, kind, copy.deepcopy(body)))
        self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error here."""


def write_kubeconfig(
    folder: Path,
    server: str,
    *,
    token: str = "test",
    ca_file: str | None = None,
    ca_data: str | None = None,
) -> Path:
    """Write a kubeconfig of one cluster and one token, and return its path."""
    path = folder / f"kubeconfig-{uuid.uuid4().hex[:8]}"
    known = {"server": server, "certificate-authority": ca_file, "certificate-authority-data": ca_data}
    cluster = {key: value for key, value in known.items() if value is not None}
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def kubernetes() -> Iterator[Cluster]:
    """Yield an empty cluster with the definition of PollingJobs."""
    with Cluster() as cluster:
        yield cluster


class _Handler(JsonHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, query = self._asked()
        if path in _DISCOVERY:
            self.answer(200, _DISCOVERY[path])
            return
        namespace = _namespace(path)
        verb = "watch" if query.get("watch") == "true" else "list"
        try:
            self.cluster.check(verb)
            if verb == "list":
                self.answer(200, self.cluster.page(namespace, query))
            else:
                self._stream(self.cluster.watch(namespace, query))
        except Gone as gone:
            self.answer(gone.code, gone.body)

    def do_PATCH(self) -> None:
        path, query = self._asked()
        body = self.body()
        try:
            self.cluster.check("patch")
            *_, name, _status = path.split("/")
            key = (_namespace(path) or "", name)
            self.answer(200, self.cluster.apply_status(key, query["fieldManager"], body))
        except Gone as gone:
            self.answer(gone.code, gone.body)

    def do_POST(self) -> None:
        body = self.body()
        try:
            self.cluster.check("create")
            self.cluster.events.append(body)
            self.answer(201, body)
        except Gone as gone:
            self.answer(gone.code, gone.body)

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}

    def _stream(self, events: Iterator[Body]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(json.dumps(event).encode() + b"\n")
            self.wfile.flush()


def _namespace(path: str) -> str | None:
    parts = path.split("/")
    return parts[parts.index("namespaces") + 1] if "namespaces" in parts else None


def _resource(name: str, kind: str, verbs: list[str], *, namespaced: bool = True) -> Body:
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": verbs}


def _group(name: str, version: str) -> Body:
    both = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [both], "preferredVersion": both}


_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_DISCOVERY: dict[str, Body] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            _resource("events", "Event", _VERBS),
            _resource("namespaces", "Namespace", _VERBS, namespaced=False),
        ],
    },
    "/apis": {
        "kind": "APIGroupList",
        "groups": [_group(GROUP, VERSION), _group("apiextensions.k8s.io", "v1")],
    },
    "/apis/apiextensions.k8s.io/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apiextensions.k8s.io/v1",
        "resources": [
            _resource("customresourcedefinitions", "CustomResourceDefinition", _VERBS, namespaced=False)
        ],
    },
    _API: {
        "kind": "APIResourceList",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [
            _resource(PLURAL, "PollingJob", _VERBS),
            _resource(f"{PLURAL}/status", "PollingJob", ["get", "patch", "update"]),
        ],
    },
}
