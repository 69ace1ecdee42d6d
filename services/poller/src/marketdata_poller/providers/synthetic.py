"""Prices out of nothing: a seeded random walk that needs no network and no key.

The price of a symbol at a second is a pure function of (seed, symbol, second), in whole numbers
throughout, so that any number of pollers on any machine agree to the last digit. It serves first
runs, demonstrations and load; it is nobody's market.

Symbols that begin with NOSUCH are unknown, those that begin with NODATA have no price: bad symbols
can be rehearsed without a bad upstream.
"""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from marketdata.clock import Clock, SystemClock
from marketdata.domain.answer import Answer, Parsed, Quote, RawResponse
from marketdata.errors import MarketDataError, NoData, UnknownSymbol
from marketdata.identifiers import uuid7
from marketdata_poller.ports import Capabilities, RequestGate
from marketdata_poller.providers import settings
from marketdata_poller.providers.answers import combine
from marketdata_poller.providers.settings import SyntheticSettings

NAME = "synthetic"
ENDPOINT = "quote"
_MILLION = 1_000_000
# A random walk holds as much variance at each time scale as the scale is long. Ten layers of
# interpolated noise, each four times slower and twice as large as the one before, from seconds to
# three days, come close to it and cost the same for every second, however long the walk.
_LAYERS = tuple((4**level, 150 * 2**level) for level in range(10))


def price_at(seed: int, symbol: str, second: int) -> Decimal:
    """Return the price of `symbol` at the Unix time `second`: 2 decimals, 4 below 10.

    At most about 15 % away from the symbol's own level, which lies between 5 and 995.
    """
    level = _draw(seed, symbol, 0, 0)
    base = 50_000 + level % 9_900_000  # ten-thousandths
    offset = 0
    for period, size in _LAYERS:
        step, within = divmod(second, period)
        before = _draw(seed, symbol, period, step) % (2 * size) - size
        after = _draw(seed, symbol, period, step + 1) % (2 * size) - size
        offset += before + (after - before) * within // period
    units = base * (_MILLION + offset) // _MILLION
    return Decimal(units).scaleb(-4) if units < 100_000 else Decimal(units // 100).scaleb(-2)


@lru_cache(maxsize=65_536)
def _draw(seed: int, symbol: str, period: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{symbol}/{period}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class SyntheticProvider:
    """The random walk as a provider."""

    name = NAME

    def __init__(self, *, values: SyntheticSettings, clock: Clock) -> None:
        self.capabilities = Capabilities(
            max_symbols_per_request=values.batch_size,
            requests_per_minute=values.requests_per_minute,
            burst=max(1, int(values.requests_per_minute // 10)),
            deadline_seconds=values.latency_seconds + 5.0,
        )
        self._values = values
        self._clock = clock
        self._closed = threading.Event()

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Return a price for every symbol at the present whole second, after the set latency."""
        try:
            gate.take(ENDPOINT)
        except MarketDataError as error:
            return combine(symbols, (), self.parse, unanswered=error)
        if self._values.latency_seconds:
            self._clock.wait(self._values.latency_seconds, self._closed)
        raw = self._answer(symbols)
        gate.succeeded(ENDPOINT)
        return combine(symbols, (raw,), self.parse)

    def parse(self, raw: RawResponse) -> Parsed:
        """Read the JSON that `fetch` wrote."""
        content = json.loads(raw.body)
        observed_at = datetime.fromtimestamp(content["time"], UTC)
        failures: dict[str, MarketDataError] = {
            symbol: UnknownSymbol(f"{symbol} is one of the symbols that do not exist")
            for symbol in content["unknown"]
        }
        failures |= {symbol: NoData(f"{symbol} has no price") for symbol in content["empty"]}
        quotes = {
            symbol: Quote(
                symbol=symbol,
                price=Decimal(price),
                observed_at=observed_at,
                currency=content["currency"],
                market_state=content["marketState"],
                delayed_by_seconds=0,
            )
            for symbol, price in content["prices"].items()
        }
        return Parsed(quotes=quotes, failures=failures)

    def close(self) -> None:
        """End a wait that is under way."""
        self._closed.set()

    def _answer(self, symbols: Sequence[str]) -> RawResponse:
        fetched_at = self._clock.now()
        second = (fetched_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        unknown = [symbol for symbol in symbols if symbol.startswith("NOSUCH")]
        empty = [symbol for symbol in symbols if symbol.startswith("NODATA")]
        absent = {*unknown, *empty}
        content = {
            "time": second,
            "currency": self._values.currency,
            "marketState": self._values.market_state,
            "prices": {
                symbol: str(price_at(self._values.seed, symbol, second))
                for symbol in symbols
                if symbol not in absent
            },
            "unknown": unknown,
            "empty": empty,
        }
        return RawResponse(
            raw_response_id=uuid7(fetched_at),
            provider=NAME,
            url=f"synthetic://walk/{self._values.seed}?time={second}",
            status=200,
            headers={"content-type": "application/json"},
            body=json.dumps(content, separators=(",", ":")).encode(),
            symbols=tuple(symbols),
            fetched_at=fetched_at,
        )


def create(environ: Mapping[str, str]) -> SyntheticProvider:
    """Return the provider as the MARKETDATA_SYNTHETIC_ variables say."""
    return SyntheticProvider(values=settings.read(NAME, SyntheticSettings, environ), clock=SystemClock())
