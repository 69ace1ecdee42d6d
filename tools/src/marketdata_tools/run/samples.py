"""PollingJob documents, read without a cluster: what `kubectl apply -f k8s/samples` takes.

A document passes here only if it passes there: an unknown field, a lower-case symbol or a
repeated one is refused as the custom resource's schema refuses it, so that nobody learns here
what fails on a cluster.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid5

import yaml

from marketdata.domain.job import (
    DEFAULT_FAILURE_THRESHOLD,
    DEFAULT_INTERVAL_SECONDS,
    KubernetesOrigin,
    PollingJob,
    Slo,
    parse_job,
)
from marketdata.errors import InvalidInput

API_VERSION = "marketdata.dev/v1alpha1"
KIND = "PollingJob"
RELEASE = "local"

T = TypeVar("T")

_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", bool: "true or false"}
_IDENTITIES = UUID("6f1d1a52-6f0e-5c0b-8a5e-6b1f6d0f3a11")  # made once, for the uids given here
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PERCENT = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")
_MAX_NAME = 253
_MAX_AGE_SECONDS = 7 * 86_400
_MAX_FAILURE_THRESHOLD = 100


def read_folder(folder: Path, *, default_provider: str) -> list[PollingJob]:
    """Return the jobs of all *.yaml and *.yml files of `folder`, in the order of their names.

    Raises InvalidInput in one line that names the file, the object and the field.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    jobs: dict[str, PollingJob] = {}
    for path in files:
        for job in read_documents(path.read_text(), name=path.name, default_provider=default_provider):
            uid = str(job.job_id)
            if uid in jobs and job.origin is not None:
                message = f"{path.name}: {KIND} {job.origin.namespace}/{job.origin.name} is there twice"
                raise InvalidInput(message, field="metadata/name")
            jobs[uid] = job
    return list(jobs.values())


def read_documents(text: str, *, name: str, default_provider: str) -> list[PollingJob]:
    """Return the jobs of one file's documents; `name` is what errors call it."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        message = f"{name}{place}: not YAML: {problem}"
        raise InvalidInput(message) from None
    return [
        _job(document, name=name, number=number, default_provider=default_provider)
        for number, document in enumerate(_items(documents), start=1)
    ]


def _items(documents: Sequence[object]) -> Iterator[object]:
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List":
            yield from document.get("items") or []
        else:
            yield document


def _job(document: object, *, name: str, number: int, default_provider: str) -> PollingJob:
    try:
        body = _mapping(document, "document")
        if body.get("kind") != KIND or body.get("apiVersion") != API_VERSION:
            found = f"{body.get('apiVersion')} {body.get('kind')}"
            message = f"is {found}; only {API_VERSION} {KIND} is read here"
            raise InvalidInput(message, field="kind")
        _known(body, {"apiVersion", "kind", "metadata", "spec", "status"}, "")
        metadata = _mapping(body.get("metadata"), "metadata")
        object_name = _object_name(metadata.get("name"), "metadata/name")
        namespace = _object_name(metadata.get("namespace", "default"), "metadata/namespace")
    except InvalidInput as error:
        message = f"{name}: document {number}: {_sentence(error)}"
        raise InvalidInput(message, field=error.field) from None
    try:
        return _from_spec(body.get("spec"), namespace, object_name, default_provider)
    except InvalidInput as error:
        message = f"{name}: {KIND} {namespace}/{object_name}: {_sentence(error)}"
        raise InvalidInput(message, field=error.field) from None


def _from_spec(value: object, namespace: str, name: str, default_provider: str) -> PollingJob:
    spec = _mapping(value, "spec")
    _known(spec, {"symbols", "provider", "interval", "suspend", "failureThreshold", "slo"}, "spec/")
    uid = uuid5(_IDENTITIES, f"{namespace}/{name}")
    symbols = _strings(spec.get("symbols"), "spec/symbols")
    try:
        job = parse_job(
            job_id=uid,
            symbols=symbols,
            provider=_typed(spec.get("provider", default_provider), str, "spec/provider"),
            interval=_interval(spec.get("interval", DEFAULT_INTERVAL_SECONDS)),
            suspended=_typed(spec.get("suspend", False), bool, "spec/suspend"),
            slo=_slo(spec["slo"]) if "slo" in spec else None,
            failure_threshold=_within(
                spec.get("failureThreshold", DEFAULT_FAILURE_THRESHOLD),
                "spec/failureThreshold",
                _MAX_FAILURE_THRESHOLD,
            ),
            origin=KubernetesOrigin(
                release=RELEASE, uid=str(uid), namespace=namespace, name=name, generation=1
            ),
        )
    except InvalidInput as error:
        if error.field.startswith("spec/"):
            raise
        raise InvalidInput(str(error), field=f"spec/{error.field}") from None
    for index, symbol in enumerate(symbols):
        if symbol not in job.symbols:
            message = f"{symbol!r} must be written in upper case"
            raise InvalidInput(message, field=f"spec/symbols/{index}")
        if symbol in symbols[:index]:
            message = f"{symbol!r} is there twice"
            raise InvalidInput(message, field=f"spec/symbols/{index}")
    return job


def _slo(value: object) -> Slo:
    slo = _mapping(value, "spec/slo")
    _known(slo, {"maxAgeSeconds", "target"}, "spec/slo/")
    target = _typed(slo.get("target", "99.9"), str, "spec/slo/target")
    if not (_PERCENT.fullmatch(target) and float(target) > 0):
        message = f'{target!r} is not a percentage between 0 and 100, such as "99.9"'
        raise InvalidInput(message, field="spec/slo/target")
    age = _within(slo.get("maxAgeSeconds"), "spec/slo/maxAgeSeconds", _MAX_AGE_SECONDS)
    return Slo(max_age_seconds=age, target=target)


def _sentence(error: InvalidInput) -> str:
    """Name the field, unless the sentence does so itself, as those of the domain do."""
    words = str(error)
    name = error.field.removeprefix("spec/")
    return words.replace(name, error.field, 1) if words.startswith(name) else f"{error.field} {words}"


def _mapping(value: object, field: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidInput("is missing" if value is None else "is not a mapping", field=field)
    return value


def _known(body: Mapping[str, object], fields: set[str], prefix: str) -> None:
    for key in body:
        if key not in fields:
            message = f"is unknown; known are {', '.join(sorted(fields))}"
            raise InvalidInput(message, field=f"{prefix}{key}")


def _strings(value: object, field: str) -> list[str]:
    if not isinstance(value, list):
        raise InvalidInput("is missing" if value is None else "is not a list", field=field)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            message = f"is {item!r}, not text; put it in quotes"
            raise InvalidInput(message, field=f"{field}/{index}")
    return value


def _interval(value: object) -> int | str:
    if isinstance(value, int | str):
        return value
    raise InvalidInput('is seconds (60) or a duration ("60s", "5m")', field="spec/interval")


def _within(value: object, field: str, most: int) -> int:
    number = _typed(value, int, field)
    if not 1 <= number <= most:
        message = f"is {number}; give 1 to {most}"
        raise InvalidInput(message, field=field)
    return number


def _object_name(value: object, field: str) -> str:
    name = _typed(value, str, field)
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a Kubernetes object: use lower-case letters, digits, - and ."
        raise InvalidInput(message, field=field)
    return name


def _typed(value: object, kind: type[T], field: str) -> T:
    if type(value) is kind:  # a bool is an int to isinstance, and never here
        return value
    raise InvalidInput("is missing" if value is None else f"is not {_WORDS[kind]}", field=field)
