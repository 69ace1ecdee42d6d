"""A PollingJob object as the operator keeps it in memory: small, read once, without its body."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from marketdata.domain.job import (
    DEFAULT_FAILURE_THRESHOLD,
    DEFAULT_INTERVAL_SECONDS,
    DEFAULT_SLO_TARGET,
    KubernetesOrigin,
    PollingJob,
    Slo,
    parse_interval,
    parse_job,
)
from marketdata.errors import InvalidInput
from marketdata.storage.storable import storable
from marketdata_operator import status
from marketdata_operator.resource import POLL_NOW
from marketdata_operator.status import Status

_JOB_IDS = UUID("6c0d3d0a-5f0c-5b0e-9a36-6d0f6c3b6a11")
_LONGEST_POLL_NOW = 64


@dataclass(frozen=True, slots=True)
class Admission:
    """What this deployment allows beyond what the CustomResourceDefinition does."""

    release: str
    providers: tuple[str, ...]
    default_provider: str
    max_symbols: int
    min_interval_seconds: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a spec is not taken up: a condition's reason, and a sentence that says what to do.

    The rest is as much of the spec as could be read, to be shown in status; `suspended` is obeyed all
    the same.
    """

    reason: str
    message: str
    provider: str
    symbol_count: int
    interval_seconds: int | None
    suspended: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """An object at one moment. `version` orders its moments; 0 where the server's cannot be compared."""

    uid: str
    namespace: str
    name: str
    generation: int
    version: int
    job_id: UUID
    wish: PollingJob | Refusal
    status: Status

    @property
    def symbol_count(self) -> int:
        """How many symbols the spec names."""
        return self.wish.symbol_count if isinstance(self.wish, Refusal) else len(self.wish.symbols)


def read(body: Mapping[str, Any], admission: Admission) -> Observed:
    """Return the object of `body`, as the API server sends it; its wish is a Refusal where not allowed."""
    metadata = body["metadata"]
    job_id = job_id_of(admission.release, metadata["uid"])
    return Observed(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 0),
        version=version_of(metadata.get("resourceVersion")),
        job_id=job_id,
        wish=_wish(body, job_id, admission),
        status=status.read(body.get("status")),
    )


def job_id_of(release: str, uid: str) -> UUID:
    """Return the one job id of an object: a row that is made again has it too."""
    return uuid5(_JOB_IDS, f"{release} {uid}")


def version_of(resource_version: str | None) -> int:
    """Return the resource version as the number it is (Kubernetes 1.35 promises so), else 0."""
    return int(resource_version) if resource_version and resource_version.isdecimal() else 0


def _wish(body: Mapping[str, Any], job_id: UUID, admission: Admission) -> PollingJob | Refusal:
    metadata, spec = body["metadata"], body.get("spec") or {}
    symbols = spec.get("symbols") or []
    provider = spec.get("provider") or admission.default_provider
    interval = spec.get("interval", DEFAULT_INTERVAL_SECONDS)
    suspended = bool(spec.get("suspend", False))
    seconds: int | None = None

    def refused(reason: str, message: str) -> Refusal:
        return Refusal(reason, message, str(provider), len(symbols), seconds, suspended)

    try:
        seconds = parse_interval(interval)
        job = parse_job(
            job_id=job_id,
            symbols=symbols,
            provider=provider,
            interval=interval,
            suspended=suspended,
            slo=_slo(spec.get("slo")),
            failure_threshold=spec.get("failureThreshold", DEFAULT_FAILURE_THRESHOLD),
            origin=KubernetesOrigin(
                release=admission.release,
                uid=metadata["uid"],
                namespace=metadata["namespace"],
                name=metadata["name"],
                generation=metadata.get("generation", 0),
                poll_now=_poll_now(metadata.get("annotations") or {}),
            ),
        )
    except InvalidInput as error:
        return refused("InvalidSpec", f"spec.{error}")
    if job.provider not in admission.providers:
        installed = ", ".join(admission.providers)
        return refused(
            "UnknownProvider", f"provider {job.provider} is not installed here; write one of {installed}"
        )
    if len(job.symbols) > admission.max_symbols:
        return refused(
            "TooManySymbols",
            f"{len(job.symbols)} symbols are more than the {admission.max_symbols} that one PollingJob may "
            "have here; split it into several",
        )
    if job.interval_seconds < admission.min_interval_seconds:
        return refused(
            "IntervalTooShort",
            f"an interval of {job.interval_seconds}s is shorter than the {admission.min_interval_seconds}s "
            "that are allowed here; write a longer one",
        )
    return job


def _slo(raw: Mapping[str, Any] | None) -> Slo | None:
    return Slo(raw["maxAgeSeconds"], raw.get("target", DEFAULT_SLO_TARGET)) if raw else None


def _poll_now(annotations: Mapping[str, str]) -> str | None:
    """Return the annotation's value, which is only compared: by its digest if long or not storable as it is.

    Kubernetes sets no limits to it but the size of all annotations.
    """
    value = annotations.get(POLL_NOW)
    if value is None or (len(value) <= _LONGEST_POLL_NOW and storable(value) == value):
        return value
    return "sha256:" + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()[:48]
