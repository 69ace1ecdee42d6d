"""The Yahoo stand-in as a test sees it: faults to order, and the list of what it answered."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from support.processes import Process, Processes


@dataclass(frozen=True, slots=True)
class YahooAnswer:
    """One answer as the stand-in lists it; `quotes` holds (symbol, price, Unix time observed)."""

    number: int
    time: float
    host: str
    path: str
    endpoint: str
    status: int
    symbols: tuple[str, ...]
    sha256: str
    size: int
    quotes: tuple[tuple[str, str, int], ...]
    complete: bool


class Yahoo:
    """Control of one stand-in process."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    def fault(self, kind: str, **fields: Any) -> None:
        """Order a fault; see marketdata_tools.standins.yahoo_faults for kinds and fields."""
        self._ask("faults", {"kind": kind, **fields})

    def reset(self) -> None:
        """Put everything right and forget all answers."""
        self._ask("reset", {})

    def begin_anew(self) -> None:
        """The same, and answer nothing any more that was asked over a connection made before."""
        self._ask("anew", {})

    def release(self) -> None:
        """Send what the fault `hold` keeps back."""
        self._ask("release", {})

    def expire(self) -> None:
        """Refuse the cookies and crumbs handed out so far."""
        self._ask("expire", {})

    def answers(self, *, after: int = 0) -> list[YahooAnswer]:
        """Return what it answered since the last reset, numbers over `after`."""
        return [
            YahooAnswer(
                **{
                    **row,
                    "symbols": tuple(row["symbols"]),
                    "quotes": tuple((symbol, price, second) for symbol, price, second in row["quotes"]),
                }
            )
            for row in self._ask(f"answers?after={after}")
        ]

    def counts(self) -> dict[str, int]:
        """Return how many requests each endpoint had since the last reset."""
        found: dict[str, int] = self._ask("counts")
        return found

    def _ask(self, what: str, content: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_control/{what}",
            data=None if content is None else json.dumps(content).encode(),
            method="GET" if content is None else "POST",
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


def start(processes: Processes, *, port: int = 0, step_seconds: int = 1) -> Yahoo:
    """Start a stand-in, on any free port by default, and return once it listens."""
    process = processes.start(
        "marketdata_tools.standins.yahoo",
        "--port",
        str(port),
        "--step-seconds",
        str(step_seconds),
        env={},
    )
    return Yahoo(process, process.says(r"listening at (\S+)", within=30)[1])
