"""A provider that says what a test tells it, and gates that remember what passed them."""

import json
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from marketdata import errors
from marketdata.clock import Clock, ManualClock
from marketdata.domain.answer import Answer, Parsed, Quote, RawResponse
from marketdata.errors import MarketDataError, NoData, Transient
from marketdata.identifiers import uuid7
from marketdata_poller.ports import Capabilities, RequestGate
from marketdata_poller.providers.answers import combine


class OpenGate:
    """Lets everything pass; `passed` lists the endpoints taken, `told` how each request went."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.told: list[tuple[str, MarketDataError | None]] = []

    def take(self, endpoint: str) -> None:
        self.passed.append(str(endpoint))

    def succeeded(self, endpoint: str) -> None:
        self.told.append((str(endpoint), None))

    def failed(self, endpoint: str, error: MarketDataError) -> None:
        self.told.append((str(endpoint), error))


class ShutGate(OpenGate):
    """Refuses the endpoints given, or all of them, with `error`."""

    def __init__(self, error: MarketDataError, *endpoints: str) -> None:
        super().__init__()
        self._error = error
        self._endpoints = endpoints

    def take(self, endpoint: str) -> None:
        if not self._endpoints or endpoint in self._endpoints:
            raise self._error
        super().take(endpoint)


class ScriptedProvider:
    """Answers from a script, through real bytes: `price`, `fail` and `fail_all` write it.

    Symbols without a line have no data. `asked` lists what each fetch asked for. Between `hold` and
    `release` a fetch blocks, as on an upstream that hangs; `raises` makes it break the contract.
    """

    ENDPOINT = "quote"

    def __init__(
        self,
        *,
        name: str = "scripted",
        clock: Clock | None = None,
        max_symbols_per_request: int = 500,
        requests_per_minute: float = 60_000,
        burst: int = 1_000,
        deadline_seconds: float = 5.0,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(
            max_symbols_per_request=max_symbols_per_request,
            requests_per_minute=requests_per_minute,
            burst=burst,
            deadline_seconds=deadline_seconds,
        )
        self.asked: list[tuple[str, ...]] = []
        self.raises: Exception | None = None
        self.closed = False
        self._clock = clock or ManualClock()
        self._lines: dict[str, list[object]] = {}
        self._refusal: MarketDataError | None = None
        self._free = threading.Event()
        self._free.set()

    def price(self, symbol: str, price: str | Decimal, *, observed_at: datetime | None = None) -> None:
        """Give `symbol` this price from now on, observed at the time of each fetch by default."""
        when = observed_at.isoformat() if observed_at else None
        self._lines[symbol] = ["price", str(price), when]

    def fail(self, symbol: str, error: MarketDataError) -> None:
        """Let `symbol` fail from now on."""
        self._lines[symbol] = ["error", *_told(error)]

    def fail_all(self, error: MarketDataError) -> None:
        """Refuse every request with `error`, as one answer of status 503, until `recover`."""
        self._refusal = error

    def recover(self) -> None:
        self._refusal = None

    def hold(self) -> None:
        """Let fetches block from now on, after their token is taken."""
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        self.asked.append(tuple(symbols))
        if self.raises is not None:
            raise self.raises
        try:
            gate.take(self.ENDPOINT)
        except MarketDataError as error:
            return combine(symbols, (), self.parse, unanswered=error)
        self._free.wait()
        now = self._clock.now()
        lines = {
            symbol: [*line[:2], line[2] or now.isoformat()] if line[0] == "price" else line
            for symbol, line in self._lines.items()
            if symbol in symbols
        }
        refusal = _told(self._refusal) if self._refusal else None
        raw = RawResponse(
            raw_response_id=uuid7(now),
            provider=self.name,
            url="scripted://lines",
            status=503 if refusal else 200,
            headers={},
            body=json.dumps({"refusal": refusal, "lines": {} if refusal else lines}).encode(),
            symbols=tuple(symbols),
            fetched_at=now,
        )
        if self._refusal:
            gate.failed(self.ENDPOINT, self._refusal)
        else:
            gate.succeeded(self.ENDPOINT)
        return combine(symbols, (raw,), self.parse)

    def parse(self, raw: RawResponse) -> Parsed:
        content = json.loads(raw.body)
        if content["refusal"]:
            return Parsed(failures=dict.fromkeys(raw.symbols, _error(*content["refusal"])))
        quotes: dict[str, Quote] = {}
        failures: dict[str, MarketDataError] = {
            symbol: NoData(f"the script has no line for {symbol}")
            for symbol in raw.symbols
            if symbol not in content["lines"]
        }
        for symbol, (kind, *rest) in content["lines"].items():
            if kind == "price":
                observed_at = datetime.fromisoformat(rest[1])
                quotes[symbol] = Quote(symbol, Decimal(rest[0]), observed_at, "USD", "REGULAR")
            else:
                failures[symbol] = _error(*rest)
        return Parsed(quotes=quotes, failures=failures)

    def close(self) -> None:
        self.closed = True
        self._free.set()


def _told(error: MarketDataError) -> tuple[str, str, float | None]:
    after = error.retry_after if isinstance(error, Transient) else None
    return type(error).__name__, str(error), after.total_seconds() if after is not None else None


def _error(name: str, message: str, after: float | None) -> MarketDataError:
    kind: type[MarketDataError] = getattr(errors, name)
    if issubclass(kind, Transient):
        return kind(message, retry_after=timedelta(seconds=after) if after is not None else None)
    return kind(message)


def essence(error: MarketDataError) -> tuple[str, str, float | None]:
    """Return what makes two errors equal: kind, message and retry-after."""
    return _told(error)
