"""Bodies of requests and answers as the documentation shows them; `queries` has the addresses.

Request models check and normalise by the domain's own rules, and refuse fields they do not know.
Answer models only describe: routes send dictionaries built beside them.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from marketdata.domain import job, symbol
from marketdata.errors import InvalidInput
from marketdata_api.promises import JobPromise


def checked(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `parse` as a validator: what it refuses is told in its own words."""

    def check(value: Any) -> Any:
        try:
            return parse(value)
        except InvalidInput as error:
            # Braces would be taken for placeholders.
            raise PydanticCustomError("rule", "{message}", {"message": str(error)}) from None

    return check


Symbol = Annotated[
    StrictStr,
    AfterValidator(checked(symbol.parse_symbol)),
    Field(json_schema_extra={"maxLength": symbol.SYMBOL_MAX_LENGTH, "examples": ["AAPL"]}),
]
Provider = Annotated[
    StrictStr,
    AfterValidator(checked(symbol.parse_provider)),
    Field(
        json_schema_extra={
            "pattern": symbol.PROVIDER_PATTERN,
            "maxLength": symbol.PROVIDER_MAX_LENGTH,
            "examples": ["yfinance"],
        }
    ),
]


def _interval(given: Any) -> int:
    return job.parse_interval(given if isinstance(given, int | str) else "")


Interval = Annotated[
    int,
    # Not a union, which would refuse once for each of its members.
    PlainValidator(checked(_interval)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": job.MAX_INTERVAL_SECONDS},
                {"type": "string", "pattern": r"^(\d{1,5}h)?(\d{1,5}m)?(\d{1,5}s)?$"},
            ],
            "description": 'Seconds, or a duration such as "60s", "5m", "1h30m"; 1 s to 24 h.',
            "examples": [60, "5m"],
        }
    ),
]


def once_each(symbols: list[str]) -> list[str]:
    """Return `symbols` without repeats, in order."""
    return list(dict.fromkeys(symbols))


class Asked(BaseModel):
    """What a client says; a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromiseRequest(Asked):
    """A promise about the age of a job's prices, by the provider's clock."""

    max_age_seconds: Annotated[StrictInt, Field(ge=1, le=job.MAX_SLO_AGE_SECONDS)]
    target: Annotated[
        StrictStr,
        AfterValidator(checked(job.parse_slo_target)),
        Field(
            max_length=8,
            description="For what share of the time it should hold, in percent.",
            json_schema_extra={"pattern": job.SLO_TARGET_PATTERN, "examples": ["99.9"]},
        ),
    ] = job.DEFAULT_SLO_TARGET


class JobRequest(Asked):
    """What to poll, how often, from whom."""

    symbols: Annotated[
        list[Symbol], Field(min_length=1, max_length=symbol.MAX_SYMBOLS), AfterValidator(once_each)
    ]
    interval: Interval = job.DEFAULT_INTERVAL_SECONDS
    provider: Provider | None = Field(None, description="Left out: the deployment's default provider.")
    slo: PromiseRequest | None = Field(None, description="Left out: nothing is promised.")

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "yfinance"}]
        },
    )


class JobChange(Asked):
    """What may be changed of a job: whether it is suspended."""

    suspended: StrictBool


class JobConfig(BaseModel):
    """The job as it is polled: the provider is never null."""

    symbols: list[str]
    interval: int
    provider: str


class JobAccepted(BaseModel):
    """The answer to a job that was stored."""

    job_id: UUID
    status: Literal["accepted"]
    config: JobConfig


class KubernetesObject(BaseModel):
    """The PollingJob object that owns a job."""

    release: str
    namespace: str
    name: str
    uid: str


class Job(BaseModel):
    """A job and how it fares."""

    job_id: UUID
    status: Literal["active", "suspended"]
    config: JobConfig
    suspended: bool
    origin: Literal["api", "kubernetes"]
    kubernetes: KubernetesObject | None
    created_at: datetime
    updated_at: datetime
    next_due_at: datetime | None
    last_poll_at: datetime | None
    last_success_at: datetime | None
    consecutive_failures: int
    last_reason: str | None
    slo: JobPromise | None
    failing: dict[str, dict[str, str]]


class JobPage(BaseModel):
    """A page of jobs, oldest first."""

    data: list[Job]
    next_page_token: str | None


class LatestPrice(BaseModel):
    """The newest price of a symbol."""

    timestamp: datetime = Field(description="The provider's clock.")
    fetched_at: datetime
    raw_response_id: UUID = Field(description="Leads to the bytes at /prices/raw/{raw_response_id}.")
    symbol: str
    provider: str
    price: float
    currency: str | None
    market_state: str | None = Field(description="REGULAR, PRE, POST or CLOSED, where the provider tells.")
    delayed_by: int | None = Field(description="Seconds the provider says its prices are late.")
    stale_after_seconds: int
    age_seconds: float = Field(description="Seconds since `timestamp`.")
    stale: bool = Field(description="No poll has confirmed the price for `stale_after_seconds`.")


class ProblemDetail(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    errors: list[dict[str, str]] = []


class LatestBatch(BaseModel):
    """The symbols that have a price, and a problem for each that has none."""

    data: dict[str, LatestPrice]
    errors: dict[str, ProblemDetail]


class Average(BaseModel):
    """The moving average at a series' newest point."""

    symbol: str
    provider: str
    moving_average: float
    timestamp: datetime
    window: int
    sample_size: int
    complete: bool = Field(description="The sample is as large as the window.")
    raw_response_ids: list[UUID]


class AveragePage(BaseModel):
    """The series of averages, newest first."""

    symbol: str
    provider: str
    window: int
    data: list[Average]
    next_page_token: str | None


class HistoryPoint(BaseModel):
    """One stored price."""

    symbol: str
    provider: str
    timestamp: datetime
    price: float
    currency: str | None
    fetched_at: datetime
    stored_at: datetime
    raw_response_id: UUID


class HistoryPage(BaseModel):
    """A page of history."""

    data: list[HistoryPoint]
    next_page_token: str | None


class DatabaseCheck(BaseModel):
    """The seed's shape."""

    status: Literal["connected", "error"]
    details: str | None = None


class ReadinessCheck(BaseModel):
    """`ok`, or why no requests should be sent here."""

    status: str


class PollLedgerEntry(BaseModel):
    """asked = fresh + unchanged + the sums of failed and skipped, by reason."""

    job_id: UUID
    hour: datetime
    polls: int
    asked: int
    fresh: int
    unchanged: int
    failed: dict[str, int]
    skipped: dict[str, int]
    balanced: bool


class EventLedgerEntry(BaseModel):
    """created = open + stored + superseded + dead; republished stands beside."""

    provider: str
    day: date
    created: int
    open: int
    stored: int
    superseded: int
    dead: int
    republished: int
    balanced: bool


class LedgerAnswer(BaseModel):
    """Both ledgers of a stretch of time, and what is counted beside them since the beginning."""

    start: datetime
    end: datetime
    balanced: bool
    polls: list[PollLedgerEntry]
    events: list[EventLedgerEntry]
    counters: dict[str, int]
