"""What to ask Yahoo, in which order.

A chunk of symbols is one request to v7/finance/quote. A symbol that its answer leaves out without
a word is looked up with one v8/finance/chart request, which alone can say that it is unknown;
those found unknown are not looked up again for a day. Where quotes are refused, a few symbols
a time are read from charts, in turn, so that prices go on trickling while the breaker is open.

There is no second try: the schedule is the retry. Only an outlived cookie or crumb, told by 401,
is renewed once within a fetch.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from marketdata.clock import Clock
from marketdata.domain.answer import Answer, RawResponse
from marketdata.errors import (
    BadResponse,
    Blocked,
    BreakerOpen,
    MarketDataError,
    NoData,
    RateLimited,
    UnknownSymbol,
    UpstreamUnavailable,
)
from marketdata_poller.ports import RequestGate
from marketdata_poller.providers.answers import combine
from marketdata_poller.providers.yfinance.reading import read
from marketdata_poller.providers.yfinance.session import Call, CallEnded, SessionExpired
from marketdata_poller.providers.yfinance.transport import YahooTransport

QUOTE_URL = "https://query1.finance.yahoo.com/v7/finance/quote"
CHART_URL = "https://query2.finance.yahoo.com/v8/finance/chart/"
# Asked for by name, or Yahoo sends two kilobytes a symbol, all of which would be kept.
_FIELDS = (
    "symbol,regularMarketPrice,regularMarketTime,currency,marketState,exchange,"
    "exchangeDataDelayedBy,quoteType,priceHint"
)
_QUOTE = {"formatted": "false", "lang": "en-US", "region": "US", "fields": _FIELDS}
_CHART = {"range": "1d", "interval": "1d", "includePrePost": "false"}
_WORTH_A_CHART = (RateLimited, Blocked, BreakerOpen, BadResponse, UpstreamUnavailable)
_QUARANTINE_SECONDS = 24 * 3600.0
_MOST_QUARANTINED = 10_000


class YahooFetcher:
    """Fetches for one provider; one thread at a time."""

    def __init__(
        self, *, transport: YahooTransport, deadline_seconds: float, chart_symbols: int, clock: Clock
    ) -> None:
        """Send at most `chart_symbols` chart requests in a fetch."""
        self._transport = transport
        self._deadline_seconds = deadline_seconds
        self._chart_symbols = chart_symbols
        self._clock = clock
        self._unknown: dict[str, float] = {}
        self._turn = 0

    def close(self) -> None:
        """Close the session."""
        self._transport.session.close()

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Ask for `symbols` in one quote request, and for at most a few of them by chart."""
        call = Call(
            gate=gate,
            deadline=self._clock.monotonic() + self._deadline_seconds,
            seconds=self._deadline_seconds,
        )
        self._transport.session.call = call
        try:
            refusal = self._ask_quotes(call, symbols)
            left_out = self._left_out(symbols, call.raws)
            if refusal is None:
                self._ask_charts(call, self._to_look_up(left_out))
            elif isinstance(refusal, _WORTH_A_CHART):
                self._ask_charts(call, self._next_in_turn(symbols))
        finally:
            self._transport.session.call = None
        self._remember(call.raws)
        unanswered = {symbol: refusal or self._why_left_out(symbol, symbols, left_out) for symbol in symbols}
        return combine(symbols, call.raws, read, unanswered=unanswered)

    def _ask_quotes(self, call: Call, symbols: Sequence[str]) -> MarketDataError | None:
        """Send the quote request; return why it failed."""
        call.symbols, call.crumb_needed = symbols, True
        params = {"symbols": ",".join(symbols), **_QUOTE}
        try:
            refusal = self._get(call, QUOTE_URL, params)
        except SessionExpired:
            call.may_renew = False
            refusal = self._renewed() or self._get(call, QUOTE_URL, params)
        if isinstance(refusal, Blocked) and not call.may_renew:
            self._transport.turn()
        return refusal

    def _renewed(self) -> MarketDataError | None:
        """Forget the login; return why that failed."""
        try:
            self._transport.renew()
        except MarketDataError as error:
            return error
        return None

    def _ask_charts(self, call: Call, symbols: Sequence[str]) -> None:
        """Send a chart request for each of `symbols`, until one is refused."""
        call.crumb_needed = False
        for symbol in symbols:
            if self._clock.monotonic() >= call.deadline:
                return
            call.symbols = (symbol,)
            if self._get(call, CHART_URL + quote(symbol, safe=""), _CHART) is not None:
                return

    def _get(self, call: Call, url: str, params: Mapping[str, str]) -> MarketDataError | None:
        try:
            self._transport.get(url, params, timeout=call.seconds)
        except SessionExpired:
            raise
        except CallEnded as ended:
            return ended.error
        except MarketDataError as error:
            return error
        return None

    def _next_in_turn(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the few symbols whose turn it is to be read from a chart."""
        count = min(self._chart_symbols, len(symbols))
        start = self._turn % len(symbols) if symbols else 0
        self._turn += count
        return [*symbols[start:], *symbols[:start]][:count]

    def _left_out(self, symbols: Sequence[str], raws: Sequence[RawResponse]) -> Sequence[str]:
        spoken = {
            symbol for raw in raws for said in (read(raw),) for symbol in (*said.quotes, *said.failures)
        }
        return [symbol for symbol in symbols if symbol not in spoken]

    def _to_look_up(self, left_out: Sequence[str]) -> Sequence[str]:
        now = self._clock.monotonic()
        due = [
            symbol
            for symbol in left_out
            if now - self._unknown.get(symbol, -_QUARANTINE_SECONDS) >= _QUARANTINE_SECONDS
        ]
        return self._next_in_turn(due)

    def _remember(self, raws: Sequence[RawResponse]) -> None:
        """Quarantine the symbols that charts call unknown, and let out those that have a price."""
        for raw in raws:
            parsed = read(raw)
            for symbol in parsed.quotes:
                self._unknown.pop(symbol, None)
            for symbol, error in parsed.failures.items():
                if isinstance(error, UnknownSymbol):
                    self._unknown[symbol] = self._clock.monotonic()
        while len(self._unknown) > _MOST_QUARANTINED:
            self._unknown.pop(next(iter(self._unknown)))

    def _why_left_out(self, symbol: str, symbols: Sequence[str], left_out: Sequence[str]) -> MarketDataError:
        if symbol in self._unknown:
            return UnknownSymbol(f"Yahoo does not know {symbol}")
        if 2 * len(left_out) > len(symbols):
            # A batch that lost most of its quotes says more about the batch than about the symbols.
            return BadResponse(f"Yahoo left {len(left_out)} of {len(symbols)} symbols out of its answer")
        return NoData(f"Yahoo left {symbol} out of its answer")
