"""What the addresses of requests may carry, as the documentation shows it.

A parameter that is not known, that is there twice, or whose value only a lenient reader would take is
refused: a typo is not to pass for another question. The seed's endpoints ignore those they do not know.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from marketdata.domain import average, symbol
from marketdata_api.problems import VALIDATION, FieldError, Problem
from marketdata_api.schemas import Asked, Provider, Symbol, once_each

_MOST_TOLD = 20
# An answer names each price that an average is made of, with 39 bytes: about a MB. A page of the default
# length has it with the longest window.
_MOST_AVERAGED = 20_000
_digits = re.compile(r"-?[0-9]{1,20}")
_time = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
_offset = re.compile(r"[0-9]{2}(:?[0-9]{2})?")


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("rule", "the time is out of range") from None


def _with_its_plus(given: Any, asked: ValidationInfo) -> Any:
    if isinstance(given, str):
        if not _time.match(given):  # pydantic would take a number for seconds since 1970
            raise PydanticCustomError(
                "rule", "{name} is a time such as 2026-01-05T14:30:00Z", {"name": asked.field_name}
            )
        time, _, last = given.rpartition(" ")
        if ":" in time and _offset.fullmatch(last):
            raise PydanticCustomError(
                "rule", "a + in an address is a space: write the offset as %2B00:00, or end the time with Z"
            )
    return given


def _whole(given: Any, asked: ValidationInfo) -> Any:
    # Python's own reading takes 1_0, and other scripts' digits.
    if isinstance(given, str) and not _digits.fullmatch(given):
        raise PydanticCustomError(
            "rule", "{name} is a whole number in plain digits, such as 10", {"name": asked.field_name}
        )
    return given


def _plainly(given: Any, asked: ValidationInfo) -> Any:
    if isinstance(given, str) and given not in ("true", "false"):
        raise PydanticCustomError("rule", "{name} is true or false", {"name": asked.field_name})
    return given


def _symbol_list(given: Any) -> Any:
    # A list in a query is given as symbols=A,B, as symbols=A&symbols=B, or as both.
    parts = [given] if isinstance(given, str) else given
    return [symbol for part in parts for symbol in part.split(",")]


Limit = Annotated[int, Field(ge=1, le=1_000), BeforeValidator(_whole)]
PageToken = Annotated[str, Field(max_length=512)]
Window = Annotated[int, Field(ge=average.MIN_WINDOW, le=average.MAX_WINDOW), BeforeValidator(_whole)]
Instant = Annotated[AwareDatetime, BeforeValidator(_with_its_plus), AfterValidator(_utc)]


def _beside_window(limit: int | None, given: ValidationInfo) -> int | None:
    window = given.data.get("window")
    if limit is not None and window is not None and limit * window > _MOST_AVERAGED:
        most = _MOST_AVERAGED // window
        raise PydanticCustomError(
            "rule",
            "limit times window is over {product}: with window={window} ask for limit={most} at most,"
            " and follow next_page_token",
            {"product": _MOST_AVERAGED, "window": window, "most": most},
        )
    return limit


AverageLimit = Annotated[  # behind a `window`
    Limit | None,
    AfterValidator(_beside_window),
    Field(
        description=(
            f"How many averages, newest first; limit times window is at most {_MOST_AVERAGED}."
            " Without it, the newest one alone."
        )
    ),
]


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


class JobListQuery(Asked):
    """Filters and paging of the jobs."""

    provider: ProviderFilter = None
    symbol: Symbol | None = None
    suspended: Annotated[bool, BeforeValidator(_plainly)] | None = None
    limit: Limit = 100
    page_token: PageToken | None = None


class BatchQuery(Asked):
    """Several symbols at once."""

    symbols: Annotated[
        list[Symbol],
        BeforeValidator(_symbol_list),
        Field(min_length=1, max_length=symbol.MAX_SYMBOLS),
        AfterValidator(once_each),
    ]
    provider: ProviderFilter = None


class AverageQuery(BaseModel):
    """Which average; as the seed's endpoint it ignores what it does not know."""

    symbol: Symbol
    provider: ProviderFilter = None
    window: Window = average.WINDOW
    limit: AverageLimit = None
    page_token: PageToken | None = None


class HistoryQuery(Asked):
    """A stretch of one symbol's prices."""

    symbol: Symbol
    provider: ProviderFilter = None
    start: Instant | None = Field(None, description="The first time included.")
    end: Annotated[End, Field(description="The first time excluded.")] = None
    sort: Literal["asc", "desc"] = "asc"
    limit: Limit = 1_000
    page_token: PageToken | None = None


class LedgerQuery(Asked):
    """A stretch of the ledgers; the last 24 hours where nothing is said."""

    job_id: UUID | None = None
    start: Instant | None = None
    end: End = None


class RawQuery(Asked):
    """What of a raw answer is wanted."""

    meta: bool = Field(
        default=False, description="Answer with what is known about the answer instead of its bytes."
    )


def single(parameters: Iterable[Any]) -> frozenset[str]:
    """Return the names of a route's parameters, as FastAPI holds them, that have one value."""
    names: set[str] = set()
    for each in parameters:
        kind = each.field_info.annotation
        asks = isinstance(kind, type) and issubclass(kind, BaseModel)
        names |= kind.model_fields.keys() if asks else {each.alias}
    return frozenset(names) - {"symbols"}


def require_single(query: bytes, names: Collection[str]) -> None:
    """Return if none of `names` is there twice; raises Problem that names it."""
    if b"&" not in query:
        return
    times = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    twice = (name for name, count in times.items() if count > 1 and name in names)
    _refuse({name: f"{name} is there more than once; give it once" for name in twice})


def nothing_asked(request: Request) -> None:
    """Return if the address has no query; raises Problem that names what is in it."""
    _refuse({name: f"{name[:60]} is not known here" for name in request.query_params})


def _refuse(wrong: dict[str, str]) -> None:
    if wrong:
        told = [FieldError("query", [name], text) for name, text in wrong.items()][:_MOST_TOLD]
        raise Problem(VALIDATION, "; ".join(entry.detail for entry in told[:3]), errors=told)
