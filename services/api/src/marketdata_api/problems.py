"""The one table from what went wrong to what HTTP says about it (RFC 9457).

Every leaf of the error tree has a kind here, and so has every refusal that only HTTP knows. The
text of an unexpected exception is never sent. `detail` is also the key that the seed's clients
read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from marketdata import errors
from marketdata.errors import InvalidInput, MarketDataError, Transient

MEDIA_TYPE = "application/problem+json"
# Named rather than given as a model: FastAPI would put a model under application/json.
CONTENT: dict[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of problem; `about` is what its page tells beyond the title."""

    slug: str
    status: int
    title: str
    about: str


VALIDATION = Kind(
    "validation", 422, "Invalid request", "A value breaks a documented rule; `errors` points at each one."
)
UNKNOWN_PROVIDER = Kind(
    "unknown-provider",
    422,
    "Unknown provider",
    "No provider of that name is installed; GET /providers lists them.",
)
UNKNOWN_SYMBOL = Kind(
    "unknown-symbol",
    404,
    "Unknown symbol",
    "No price of this symbol is known and no running job asks for it.",
)
NO_DATA_YET = Kind(
    "no-data-yet",
    404,
    "No data yet",
    "A running job asks for this symbol and no price has arrived yet; try again after Retry-After.",
)
NO_DATA = Kind("no-data", 404, "No data", "The provider knows the symbol and has no price for it.")
NOT_FOUND = Kind("not-found", 404, "Not found", "Nothing is served at this address.")
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The address exists and does not take this method; Allow lists those it takes.",
)
JOB_NOT_FOUND = Kind("job-not-found", 404, "Job not found", "No polling job has this id.")
JOB_SUSPENDED = Kind("job-suspended", 409, "Job suspended", "A suspended job is not polled; resume it first.")
NOT_OWNED = Kind(
    "not-owned",
    409,
    "Owned elsewhere",
    "A PollingJob object in Kubernetes owns this job; change or delete that object.",
)
RAW_NOT_FOUND = Kind(
    "raw-response-not-found", 404, "Raw response not found", "No provider answer has this id."
)
RAW_DROPPED = Kind(
    "raw-response-dropped",
    410,
    "Raw response dropped",
    "The answer was kept for the time of retention and is gone.",
)
KEY_REUSED = Kind(
    "idempotency-key-reused",
    422,
    "Idempotency key reused",
    "This Idempotency-Key was sent with another body within the last 24 hours.",
)
PAGE_TOKEN_INVALID = Kind(
    "page-token-invalid",
    422,
    "Invalid page token",
    "The token was not issued here, is damaged, or belongs to other filters.",
)
MALFORMED = Kind("malformed-request", 400, "Malformed request", "The request cannot be read.")
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type", 415, "Unsupported media type", "Send the body as application/json."
)
TIMEOUT = Kind("request-timeout", 408, "Request timeout", "The body did not arrive in time.")
BODY_TOO_LARGE = Kind(
    "body-too-large", 413, "Body too large", "The body is over the limit of this deployment."
)
URI_TOO_LONG = Kind(
    "uri-too-long", 414, "Address too long", "Path and query are over the limit of this deployment."
)
UNAUTHORIZED = Kind(
    "unauthorized", 401, "Unauthorized", "Send an API key as `Authorization: Bearer …` or `X-API-Key`."
)
FORBIDDEN = Kind("forbidden", 403, "Forbidden", "The API key lacks the scope that this address needs.")
DATABASE_UNAVAILABLE = Kind(
    "database-unavailable",
    503,
    "Database unavailable",
    "Postgres cannot be reached; cached prices are served meanwhile. Try again after Retry-After.",
)
CACHE_UNAVAILABLE = Kind("cache-unavailable", 503, "Cache unavailable", "Redis cannot be reached.")
STREAM_UNAVAILABLE = Kind("stream-unavailable", 503, "Stream unavailable", "Kafka cannot be reached.")
SCHEMA_MISMATCH = Kind(
    "schema-mismatch",
    503,
    "Schema mismatch",
    "The database's schema does not fit this release; a migration is missing or under way.",
)
PROVIDER_RATE_LIMITED = Kind(
    "provider-rate-limited",
    503,
    "Provider rate limited",
    "The provider answered that there were too many requests.",
)
PROVIDER_UNAVAILABLE = Kind(
    "provider-unavailable",
    503,
    "Provider unavailable",
    "The provider cannot be reached, refuses, or does not answer sensibly.",
)
BUDGET_EXHAUSTED = Kind(
    "budget-exhausted",
    503,
    "Budget exhausted",
    "The deployment's own request budget for this provider is used up for now.",
)
OVERLOADED = Kind(
    "overloaded",
    503,
    "Overloaded",
    "As many requests are in work as this process takes at once; nothing was done. Try again after"
    " Retry-After.",
)
STOPPING = Kind(
    "stopping",
    503,
    "Stopping",
    "The process ended before the request did; whether it took effect is unknown.",
)
INTERNAL = Kind(
    "internal-error",
    500,
    "Internal error",
    "Something unexpected went wrong; the log has it under this trace_id.",
)

OF_ERROR: Mapping[type[MarketDataError], Kind] = {
    errors.RateLimited: PROVIDER_RATE_LIMITED,
    errors.Blocked: PROVIDER_UNAVAILABLE,
    errors.UpstreamUnavailable: PROVIDER_UNAVAILABLE,
    errors.UpstreamTimeout: PROVIDER_UNAVAILABLE,
    errors.BadResponse: PROVIDER_UNAVAILABLE,
    errors.BreakerOpen: PROVIDER_UNAVAILABLE,
    errors.BudgetExhausted: BUDGET_EXHAUSTED,
    errors.StoreUnavailable: DATABASE_UNAVAILABLE,
    errors.StoreTimeout: DATABASE_UNAVAILABLE,
    errors.StoreRefused: DATABASE_UNAVAILABLE,
    errors.CacheUnavailable: CACHE_UNAVAILABLE,
    errors.StreamUnavailable: STREAM_UNAVAILABLE,
    errors.UnknownSymbol: UNKNOWN_SYMBOL,
    errors.NoData: NO_DATA,
    errors.UnknownProvider: UNKNOWN_PROVIDER,
    errors.InvalidInput: VALIDATION,
    errors.Misconfigured: INTERNAL,
    errors.PoisonMessage: INTERNAL,
    errors.Fenced: NOT_OWNED,
    errors.SchemaMismatch: SCHEMA_MISMATCH,
}
"""Each leaf of the tree; a test fails for a leaf that is not here."""

KINDS: Mapping[str, Kind] = {kind.slug: kind for kind in list(globals().values()) if isinstance(kind, Kind)}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value that is wrong: `where` is body, query, path or header; `path` leads to it."""

    where: str
    path: Sequence[str | int]
    detail: str

    def render(self) -> dict[str, str]:
        """Return the entry of `errors`; the pointer is a JSON pointer (RFC 6901) as a URI fragment."""
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in self.path)
        pointer = "#" + "".join("/" + step for step in steps)
        return {"pointer": _sendable(pointer[:200]), "in": self.where, "detail": _sendable(self.detail)}


class Problem(Exception):
    """What a route raises to refuse: a kind, and what it means this time."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after: timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or kind.about)
        self.kind = kind
        self.detail = detail or kind.about
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Rendered:
    """A problem ready to be sent; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    kind: Kind = field(compare=False)


def of(error: BaseException, *, where: str = "query") -> Problem:
    """Return the problem that `error` is; `where` places the field of an InvalidInput."""
    if isinstance(error, Problem):
        return error
    kind = next((OF_ERROR[step] for step in type(error).__mro__ if step in OF_ERROR), INTERNAL)
    if kind is INTERNAL:
        return Problem(INTERNAL)
    fields: list[FieldError] = []
    if isinstance(error, InvalidInput) and error.field:
        fields.append(FieldError(where, error.field.split("/"), str(error)))
    retry_after = error.retry_after if isinstance(error, Transient) else None
    if isinstance(error, Transient) and retry_after is None:
        retry_after = timedelta(seconds=2)
    return Problem(kind, str(error), errors=fields, retry_after=retry_after)


def render(problem: Problem, *, instance: str, trace_id: str) -> Rendered:
    """Return status, headers and body; `instance` is the path and query that was asked."""
    body: dict[str, Any] = {
        "type": f"/problems/{problem.kind.slug}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": _sendable(problem.detail),
        "instance": instance[:500],
        "code": problem.kind.slug,
        "trace_id": trace_id,
    }
    if problem.errors:
        body["errors"] = [entry.render() for entry in problem.errors]
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    headers |= {name.lower(): value for name, value in problem.headers.items()}
    if problem.retry_after is not None:
        headers["retry-after"] = str(max(1, round(problem.retry_after.total_seconds())))
    return Rendered(problem.kind.status, headers, msgspec.json.encode(body), problem.kind)


def _sendable(text: str) -> str:
    # JSON may name a field by half a surrogate pair, which no UTF-8 can say.
    return text.encode("utf-8", "replace").decode()
