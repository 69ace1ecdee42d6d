"""The API server through lightkube, and the one place where its errors become ours."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import httpx2
import msgspec
from lightkube import ApiError, Client
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from marketdata.clock import Clock
from marketdata_operator.errors import (
    KubernetesForbidden,
    KubernetesUnavailable,
    ObjectChanged,
    ObjectGone,
    ObjectRefused,
)
from marketdata_operator.observed import Observed, version_of
from marketdata_operator.report import Happening
from marketdata_operator.resource import API_VERSION, FIELD_MANAGER, GROUP, KIND, PLURAL, VERSION
from marketdata_operator.status import Status, timestamp

PAGE = 500
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
_MOST_MESSAGE = 1024  # of an event
_MOST_NAME = 230  # leaves room for what makes an event's name its own

# Plain documents: the typed models of all of core/v1 would cost more memory than our objects do.
_PollingJobs = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
_Events = create_namespaced_resource("", "v1", "Event", "events", verbs=["post"])


class ApiServer:
    """Implements `ports.Kubernetes`; safe to use from several threads."""

    def __init__(self, config: SingleConfig, *, namespaces: Collection[str] | None, clock: Clock) -> None:
        """`namespaces` is None for all. Connects to nothing yet."""
        timeout = httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
        self._client = Client(config, timeout=timeout, field_manager=FIELD_MANAGER, trust_env=False)
        self._namespaces = ("*",) if namespaces is None else tuple(sorted(namespaces))
        self._clock = clock

    def pages(self) -> Iterator[Sequence[Mapping[str, object]]]:
        for namespace in self._namespaces:
            page: list[Mapping[str, object]] = []
            with _translated():
                for each in self._client.list(_PollingJobs, namespace=namespace, chunk_size=PAGE):
                    page.append(each)
                    if len(page) == PAGE:
                        yield page
                        page = []
            if page:
                yield page

    def apply_status(self, observed: Observed, status: Status) -> int:
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            # The version makes it a conflict where the object has changed, or another has its name by now;
            # the uid does not: the API server drops it from what is applied to a status.
            "metadata": {
                "name": observed.name,
                "namespace": observed.namespace,
                **({"resourceVersion": str(observed.version)} if observed.version else {}),
            },
            "status": msgspec.to_builtins(status),
        }
        with _translated():
            answer = self._client.patch(
                _PollingJobs.Status,
                observed.name,
                body,
                namespace=observed.namespace,
                patch_type=PatchType.APPLY,
                force=True,
            )
        return version_of(answer["metadata"].get("resourceVersion"))

    def post_event(self, observed: Observed, happening: Happening) -> None:
        now = timestamp(self._clock.now())
        event = _Events.from_dict(
            {
                "metadata": {
                    "name": f"{observed.name[:_MOST_NAME]}.{uuid4().hex[:16]}",
                    "namespace": observed.namespace,
                },
                "involvedObject": {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "namespace": observed.namespace,
                    "name": observed.name,
                    "uid": observed.uid,
                },
                "type": happening.kind,
                "reason": happening.reason,
                "message": happening.message[:_MOST_MESSAGE],
                "source": {"component": FIELD_MANAGER},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
        )
        with _translated():
            self._client.create(event, namespace=observed.namespace)

    def close(self) -> None:
        self._client.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise _of(error) from error
    except httpx2.HTTPStatusError as error:  # an answer that is not the API server's, such as a proxy's
        raise KubernetesUnavailable(f"the Kubernetes API answered {error.response.status_code}") from error
    except (httpx2.HTTPError, OSError) as error:
        raise KubernetesUnavailable(
            f"the Kubernetes API cannot be reached: {type(error).__name__}"
        ) from error
    except (ConfigError, msgspec.MsgspecError) as error:
        raise KubernetesUnavailable(f"the Kubernetes API cannot be used: {error}") from error


def _of(error: ApiError) -> Exception:
    status = error.status
    code, said = status.code or 0, status.message or status.reason or "no reason given"
    if code in {401, 403}:
        return KubernetesForbidden(said)
    if code == 404 and status.details is not None and status.details.name is None:
        return KubernetesUnavailable("the PollingJob definition is not installed yet")
    if code in {404, 409}:
        return ObjectGone(said) if code == 404 else ObjectChanged(said)
    if code in {410, 429} or code >= 500:
        seconds = status.details.retryAfterSeconds if status.details is not None else None
        return KubernetesUnavailable(said, retry_after=timedelta(seconds=seconds) if seconds else None)
    return ObjectRefused(said)
