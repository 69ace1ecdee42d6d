"""The stand-in's own list of what it answered: the oracle that ledgers are held against."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from marketdata_tools.standins.yahoo_shapes import Told


@dataclass(slots=True)
class Given:
    """One answer.

    `number` is sent as the header x-yahoo-request-id; `sha256` is that of the body before any
    compression; `quotes` holds [symbol, price, observed_at in Unix seconds] as the body says them;
    `complete` is whether all of it was handed to the network.
    """

    number: int
    time: float
    host: str
    path: str
    endpoint: str
    status: int
    symbols: list[str]
    sha256: str
    size: int
    quotes: list[tuple[str, str, int]] = field(default_factory=list)
    complete: bool = False


class Answers:
    """Every answer since the last reset; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: list[Given] = []
        self._last = 0

    def add(
        self,
        *,
        time: float,
        host: str,
        path: str,
        endpoint: str,
        status: int,
        symbols: Sequence[str],
        body: bytes,
        told: Sequence[Told],
    ) -> Given:
        """Note an answer before it is sent, so that nobody can have seen one that is not listed."""
        quotes = [
            (one.listing.symbol, str(one.price), one.observed_at)
            for one in told
            if one.price is not None and not one.price.is_nan()
        ]
        with self._lock:
            self._last += 1
            given = Given(
                number=self._last,
                time=time,
                host=host,
                path=path,
                endpoint=endpoint,
                status=status,
                symbols=list(symbols),
                sha256=hashlib.sha256(body).hexdigest(),
                size=len(body),
                quotes=quotes,
            )
            self._given.append(given)
        return given

    def completed(self, given: Given) -> None:
        """Note that all of the answer was sent."""
        with self._lock:
            given.complete = True

    def render(self, *, after: int) -> bytes:
        """Return the answers numbered over `after` as a JSON list."""
        with self._lock:
            rows = [asdict(given) for given in self._given if given.number > after]
        return json.dumps(rows).encode()

    def counts(self) -> bytes:
        """Return how many requests each endpoint had, as a JSON object."""
        with self._lock:
            return json.dumps(Counter(given.endpoint for given in self._given)).encode()

    def clear(self) -> None:
        """Forget the answers; numbers go on."""
        with self._lock:
            self._given.clear()
