"""Objects and rows as the operator sees them, with valid defaults."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from marketdata.domain.job import PollingJob
from marketdata.domain.job_status import JobStatus, KnownJob, as_known
from marketdata_operator.observed import Admission, Observed, read
from support.builders import NOON

RELEASE = "demo"


def an_admission(**changes: Any) -> Admission:
    values: dict[str, Any] = {
        "release": RELEASE,
        "providers": ("synthetic", "yfinance"),
        "default_provider": "synthetic",
        "max_symbols": 500,
        "min_interval_seconds": 1,
    }
    return Admission(**{**values, **changes})


def a_body(
    name: str = "tech",
    *,
    symbols: Sequence[str] = ("AAPL",),
    uid: str | None = None,
    namespace: str = "default",
    generation: int = 1,
    version: int = 1,
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return an object as the API server sends it."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "generation": generation,
            "resourceVersion": str(version),
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {"symbols": list(symbols), **spec},
        **({"status": dict(status)} if status else {}),
    }


def an_object(name: str = "tech", *, admission: Admission | None = None, **body: Any) -> Observed:
    return read(a_body(name, **body), admission or an_admission())


def a_row(observed: Observed) -> KnownJob:
    """Return the row that an accepted object has."""
    assert isinstance(observed.wish, PollingJob)
    return as_known(observed.wish)


def a_standing(**changes: Any) -> JobStatus:
    """Return a job of four symbols that is well."""
    values: dict[str, Any] = {
        "job_id": UUID(int=1),
        "uid": "uid-tech",
        "generation": 1,
        "provider": "synthetic",
        "symbol_count": 4,
        "interval_seconds": 60,
        "suspended": False,
        "failure_threshold": 3,
        "is_young": False,
        "due_at": NOON,
        "is_overdue": False,
        "last_poll_at": NOON,
        "last_success_at": NOON,
        "consecutive_failures": 0,
        "last_reason": None,
        "fresh": 4,
        "closed": 0,
        "polled": 4,
        "failing_count": 0,
    }
    return JobStatus(**{**values, **changes})
