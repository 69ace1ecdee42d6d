"""Requests and answers as the documentation shows them.

Request models check and normalise by the domain's own rules, and refuse fields they do not know.
Answer models only describe: routes send dictionaries built beside them.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from marketdata.domain import average, job, symbol
from marketdata.errors import InvalidInput
from marketdata_api.promises import JobPromise


def _checked(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            return parse(value)
        except InvalidInput as error:
            # Braces would be taken for placeholders.
            raise PydanticCustomError("rule", "{message}", {"message": str(error)}) from None

    return check


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("rule", "the time is out of range") from None


Symbol = Annotated[
    StrictStr,
    AfterValidator(_checked(symbol.parse_symbol)),
    Field(json_schema_extra={"maxLength": symbol.SYMBOL_MAX_LENGTH, "examples": ["AAPL"]}),
]
Provider = Annotated[
    StrictStr,
    AfterValidator(_checked(symbol.parse_provider)),
    Field(
        json_schema_extra={
            "pattern": symbol.PROVIDER_PATTERN,
            "maxLength": symbol.PROVIDER_MAX_LENGTH,
            "examples": ["yfinance"],
        }
    ),
]
Interval = Annotated[
    StrictInt | StrictStr,
    AfterValidator(_checked(job.parse_interval)),
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
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


def _once_each(symbols: list[str]) -> list[str]:
    return list(dict.fromkeys(symbols))


def _symbol_list(given: Any) -> Any:
    # A list in a query is given as symbols=A,B, as symbols=A&symbols=B, or as both.
    parts = [given] if isinstance(given, str) else given
    return [symbol for part in parts for symbol in part.split(",")]


Limit = Annotated[int, Field(ge=1, le=1_000)]
PageToken = Annotated[str, Field(max_length=512)]
Window = Annotated[int, Field(ge=average.MIN_WINDOW, le=average.MAX_WINDOW)]


def _given(value: Any) -> Any:
    """Return None for `?provider=`: as in the seed, an empty name is one that is left out."""
    return None if value == "" else value


def _after_start(end: datetime | None, given: ValidationInfo) -> datetime | None:
    start = given.data.get("start")
    if start is not None and end is not None and start >= end:
        raise PydanticCustomError("rule", "end is not after start")
    return end


End = Annotated[Instant | None, AfterValidator(_after_start)]  # behind a `start`

# In a query; a body has null for that.
ProviderFilter = Annotated[Provider | None, BeforeValidator(_given)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromiseRequest(_Request):
    """A promise about the age of a job's prices, by the provider's clock."""

    max_age_seconds: Annotated[StrictInt, Field(ge=1, le=job.MAX_SLO_AGE_SECONDS)]
    target: Annotated[
        StrictStr,
        AfterValidator(_checked(job.parse_slo_target)),
        Field(
            max_length=8,
            description="For what share of the time it should hold, in percent.",
            json_schema_extra={"pattern": job.SLO_TARGET_PATTERN, "examples": ["99.9"]},
        ),
    ] = job.DEFAULT_SLO_TARGET


class JobRequest(_Request):
    """What to poll, how often, from whom."""

    symbols: Annotated[
        list[Symbol], Field(min_length=1, max_length=symbol.MAX_SYMBOLS), AfterValidator(_once_each)
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


class JobChange(_Request):
    """What may be changed of a job: whether it is suspended."""

    suspended: StrictBool


class JobListQuery(_Request):
    """Filters and paging of the jobs."""

    provider: ProviderFilter = None
    symbol: Symbol | None = None
    suspended: bool | None = None
    limit: Limit = 100
    page_token: PageToken | None = None


class BatchQuery(_Request):
    """Several symbols at once."""

    symbols: Annotated[
        list[Symbol],
        BeforeValidator(_symbol_list),
        Field(min_length=1, max_length=symbol.MAX_SYMBOLS),
        AfterValidator(_once_each),
    ]
    provider: ProviderFilter = None


class AverageQuery(BaseModel):
    """Which average; as the seed's endpoint it ignores what it does not know."""

    symbol: Symbol
    provider: ProviderFilter = None
    window: Window = average.WINDOW
    limit: Limit | None = None
    page_token: PageToken | None = None


class HistoryQuery(_Request):
    """A stretch of one symbol's prices."""

    symbol: Symbol
    provider: ProviderFilter = None
    start: Instant | None = Field(None, description="The first time included.")
    end: Annotated[End, Field(description="The first time excluded.")] = None
    sort: Literal["asc", "desc"] = "asc"
    limit: Limit = 1_000
    page_token: PageToken | None = None


class LedgerQuery(_Request):
    """A stretch of the ledgers; the last 24 hours where nothing is said."""

    job_id: UUID | None = None
    start: Instant | None = None
    end: End = None


class RawQuery(_Request):
    """What of a raw answer is wanted."""

    meta: bool = Field(
        default=False, description="Answer with what is known about the answer instead of its bytes."
    )


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
