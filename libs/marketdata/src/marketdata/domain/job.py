"""What a user may ask to have watched, said once for REST, kubectl and storage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketdata.domain.symbol import MAX_SYMBOLS, parse_provider, parse_symbol
from marketdata.errors import InvalidInput

MIN_INTERVAL_SECONDS = 1
MAX_INTERVAL_SECONDS = 86_400
DEFAULT_INTERVAL_SECONDS = 60
DEFAULT_FAILURE_THRESHOLD = 3
MAX_FAILURE_THRESHOLD = 100
MAX_SLO_AGE_SECONDS = 604_800
DEFAULT_SLO_TARGET = "99.9"
SLO_TARGET_PATTERN = r"^[0-9]{1,2}([.][0-9]{1,3})?$"  # and above zero; 100 leaves no room for a fault

_duration = re.compile(r"^(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5})s)?$")
_target = re.compile(SLO_TARGET_PATTERN)


@dataclass(frozen=True, slots=True)
class Slo:
    """A promise about age: `target` percent of the time no price is older than `max_age_seconds`."""

    max_age_seconds: int
    target: str


@dataclass(frozen=True, slots=True)
class KubernetesOrigin:
    """The PollingJob object a job came from; `release` is the deployment that owns its row.

    `poll_now` is the value of its poll-now annotation: a changed one makes the job due at once.
    """

    release: str
    uid: str
    namespace: str
    name: str
    generation: int
    poll_now: str | None = None


@dataclass(frozen=True, slots=True)
class PollingJob:
    """The wish: these symbols, from this provider, each `interval_seconds`.

    `origin` is None for a job made over REST.
    """

    job_id: UUID
    symbols: tuple[str, ...]
    provider: str
    interval_seconds: int
    suspended: bool = False
    slo: Slo | None = None
    failure_threshold: int = DEFAULT_FAILURE_THRESHOLD
    origin: KubernetesOrigin | None = None
    created_at: datetime | None = None


def parse_interval(value: int | str, *, field: str = "interval") -> int:
    """Return seconds from `60` or a duration such as `"60s"`, `"5m"`, `"1h30m"`.

    Raises InvalidInput outside 1 s to 24 h and for anything else.
    """
    seconds: int | None = None
    if isinstance(value, bool):
        seconds = None
    elif isinstance(value, int):
        seconds = value
    elif value and (found := _duration.fullmatch(value)):
        hours, minutes, rest = (int(part or 0) for part in found.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if seconds is None or not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise InvalidInput(
            f'{field} is seconds (60) or a duration ("60s", "5m"), from 1s to 24h', field=field
        )
    return seconds


def parse_slo_target(value: str, *, field: str = "target") -> str:
    """Return `value` if it is a percentage above 0 and below 100; raises InvalidInput."""
    if not _target.fullmatch(value) or float(value) == 0:
        raise InvalidInput(
            f'{field} is a percentage between 0 and 100 as a string, such as "99.9"', field=field
        )
    return value


def parse_symbols(values: Sequence[str], *, field: str = "symbols") -> tuple[str, ...]:
    """Return the canonical symbols in the order given, repeats removed.

    Raises InvalidInput for none, for more than 500, or for the first that is no symbol.
    """
    if not values:
        raise InvalidInput(f"{field} is empty; give at least one symbol", field=field)
    if len(values) > MAX_SYMBOLS:
        raise InvalidInput(
            f"{field} has {len(values)} entries; at most {MAX_SYMBOLS} are allowed, "
            "so split them over several jobs",
            field=field,
        )
    parsed = (parse_symbol(value, field=f"{field}/{i}") for i, value in enumerate(values))
    return tuple(dict.fromkeys(parsed))


def parse_job(
    *,
    job_id: UUID,
    symbols: Sequence[str],
    provider: str,
    interval: int | str = DEFAULT_INTERVAL_SECONDS,
    suspended: bool = False,
    slo: Slo | None = None,
    failure_threshold: int = DEFAULT_FAILURE_THRESHOLD,
    origin: KubernetesOrigin | None = None,
) -> PollingJob:
    """Return the job if every part keeps the rules; raises InvalidInput naming the part."""
    return PollingJob(
        job_id=job_id,
        symbols=parse_symbols(symbols),
        provider=parse_provider(provider),
        interval_seconds=parse_interval(interval),
        suspended=suspended,
        slo=slo,
        failure_threshold=failure_threshold,
        origin=origin,
    )
