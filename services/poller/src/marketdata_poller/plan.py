"""What to ask next: due jobs merged into the fewest requests.

Pure. Jobs that ask for the same symbol share one request, and a job whose symbols were all asked
for since its tick needs none. The symbol known for longest goes first, so where a budget serves
only some of them in a round, the next round serves the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from marketdata.domain.poll import DueJob, SymbolOutcome, answers

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """`complete` jobs need nothing more; `requests` are the symbols of each request, in order."""

    complete: tuple[DueJob, ...]
    requests: tuple[tuple[str, ...], ...]


def plan(jobs: Iterable[DueJob], known: Mapping[str, SymbolOutcome], *, max_symbols: int) -> Plan:
    """Return the plan for `jobs`, given what is `known`, with at most `max_symbols` a request."""
    complete: list[DueJob] = []
    missing: set[str] = set()
    for job in jobs:
        lacking = [symbol for symbol in job.symbols if not answers(known.get(symbol), job)]
        missing.update(lacking)
        if not lacking:
            complete.append(job)
    ordered = sorted(missing, key=lambda symbol: (_asked_at(known.get(symbol)), symbol))
    return Plan(
        complete=tuple(complete),
        requests=tuple(
            tuple(ordered[start : start + max_symbols]) for start in range(0, len(ordered), max_symbols)
        ),
    )


def concerned(jobs: Iterable[DueJob], symbols: Iterable[str]) -> list[DueJob]:
    """Return the jobs that ask for any of `symbols`."""
    asked = frozenset(symbols)
    return [job for job in jobs if not asked.isdisjoint(job.symbols)]


def shortest_intervals(
    jobs: Sequence[DueJob], symbols: Iterable[str], quicker: Mapping[str, int]
) -> dict[str, int]:
    """Return for each symbol the shortest interval, in seconds, at which a job asks for it.

    `quicker` holds what is known of jobs that are not due, by symbol; it counts for those of `jobs`.
    """
    wanted = frozenset(symbols)
    shortest: dict[str, int] = {}
    for job in jobs:
        for symbol in wanted.intersection(job.symbols):
            interval = min(job.interval_seconds, quicker.get(symbol, job.interval_seconds))
            shortest[symbol] = min(interval, shortest.get(symbol, interval))
    return shortest


def _asked_at(known: SymbolOutcome | None) -> datetime:
    return known.asked_at if known else _NEVER
