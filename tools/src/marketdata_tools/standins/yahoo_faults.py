"""What can be wrong with an upstream, and which request it befalls.

A fault is told as JSON and lasts for `times` requests (for ever without it) that match its
endpoint and, where it names symbols, ask for one of them. The first that matches wins for how an
answer is delivered; every one that matches changes what it says.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

ENDPOINTS = frozenset({"cookie", "consent", "crumb", "quote", "chart", "summary", "timeseries"})

DELIVERY = frozenset(
    {
        "rate_limited",  # 429; `retry_after` is sent as it is given, seconds or an HTTP date
        "status",  # `status` with `body`
        "html",  # 200 and a page
        "not_json",  # 200 and the first half of the answer, said to be whole
        "drip",  # the answer, a byte every `seconds`
        "hold",  # nothing until the control says `release`, then the answer
        "hang",  # nothing at all, for as long as the caller waits
        "cut",  # half the answer, then the connection is closed
        "huge",  # `megabytes` of JSON that never comes to the point
        "redirect",  # 302 to `location`
    }
)
CONTENT = frozenset(
    {
        "nan",  # the price is NaN
        "no_price",  # known, without a price
        "missing",  # left out of the answer, without a word
        "one_quote",  # one quote for the many asked
        "frozen",  # price and time stay as they were when the fault was set
        "clock_back",  # the observed time lies `seconds` back
        "closed",  # frozen, and the market says so
        "price",  # the price is `price`, at the same observed time: a correction
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; the comments at the kinds say which fields count."""

    kind: str
    endpoint: str = "any"
    times: int | None = None
    symbols: frozenset[str] = frozenset()
    retry_after: str | None = None
    status: int = 500
    body: str = ""
    seconds: float = 0.05
    megabytes: int = 64
    location: str = "https://elsewhere.example/"
    price: str = "1"
    since: int = field(default=0)  # when it was set, Unix seconds

    def befalls(self, endpoint: str, symbols: Sequence[str]) -> bool:
        """Say whether a request of `endpoint` for `symbols` meets this fault."""
        return self.endpoint in {"any", endpoint} and (
            not self.symbols or not self.symbols.isdisjoint(symbols)
        )


def parse(text: bytes, *, now: int) -> Fault:
    """Read a fault from the JSON of a control request.

    Raises ValueError for an unknown kind, endpoint or field.
    """
    content = json.loads(text)
    if not isinstance(content, Mapping):
        raise ValueError("a fault is a JSON object")  # noqa: TRY004 - one error for all bad input
    if content.get("kind") not in DELIVERY | CONTENT:
        raise ValueError(f"kind is one of {sorted(DELIVERY | CONTENT)}")
    if content.get("endpoint", "any") not in ENDPOINTS | {"any"}:
        raise ValueError(f"endpoint is any or one of {sorted(ENDPOINTS)}")
    values = dict(content) | {"since": now, "symbols": frozenset(content.get("symbols", ()))}
    if values.get("retry_after") is not None:
        values["retry_after"] = str(values["retry_after"])
    try:
        return Fault(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None


class Faults:
    """The faults in force; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put `fault` in force, after those that are."""
        with self._lock:
            self._standing.append(fault)

    def clear(self) -> None:
        """Put everything right."""
        with self._lock:
            self._standing.clear()

    def meet(self, endpoint: str, symbols: Sequence[str]) -> tuple[Fault | None, tuple[Fault, ...]]:
        """Return how this request's answer is delivered and what changes its content; uses them up."""
        with self._lock:
            met = [fault for fault in self._standing if fault.befalls(endpoint, symbols)]
            delivery = next((fault for fault in met if fault.kind in DELIVERY), None)
            content = tuple(fault for fault in met if fault.kind in CONTENT)
            spent = {id(fault) for fault in ((delivery, *content) if delivery else content)}
            self._standing = [
                left
                for fault in self._standing
                if (left := _used(fault) if id(fault) in spent else fault) is not None
            ]
            return delivery, content


def _used(fault: Fault) -> Fault | None:
    if fault.times is None:
        return fault
    return replace(fault, times=fault.times - 1) if fault.times > 1 else None
