"""Alpha Vantage's GLOBAL_QUOTE: one symbol a request, with a key.

It says "too many" and "no such symbol" with status 200, and may repeat the caller's key in its
apologies. The key is read from a Secret and stays out of addresses, logs and stored bytes: where
an answer repeats it, the stored answer has REDACTED there, the one case in which bytes are kept
otherwise than received.

It dates a price to the day: the point is placed at the end of that trading day, 21:00 UTC (New
York's close in winter), or at the time of the answer while the day lasts.
"""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from urllib.parse import urlencode

from pydantic import SecretStr

from marketdata.clock import Clock, SystemClock
from marketdata.domain.answer import Answer, Parsed, Quote, RawResponse
from marketdata.domain.price import EARLIEST
from marketdata.errors import (
    BadResponse,
    Blocked,
    InvalidInput,
    MarketDataError,
    Misconfigured,
    RateLimited,
    UnknownSymbol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marketdata.identifiers import uuid7
from marketdata_poller.ports import Capabilities, RequestGate
from marketdata_poller.providers import settings
from marketdata_poller.providers.answers import combine, said
from marketdata_poller.providers.bounded import BoundedSession
from marketdata_poller.providers.price_text import read_price
from marketdata_poller.providers.retry_after import retry_after
from marketdata_poller.providers.settings import AlphaVantageSettings

NAME = "alpha_vantage"
ENDPOINT = "quote"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_END_OF_DAY = time(21, 0, tzinfo=UTC)
_KEPT_HEADERS = frozenset({"content-type", "date", "retry-after"})
_REDACTED = "REDACTED"


class AlphaVantageProvider:
    """Alpha Vantage as a provider."""

    name = NAME

    def __init__(self, *, values: AlphaVantageSettings, clock: Clock) -> None:
        self.capabilities = Capabilities(
            max_symbols_per_request=1,
            requests_per_minute=values.requests_per_minute,
            burst=max(1, int(values.requests_per_minute)),
            deadline_seconds=values.deadline_seconds,
        )
        self._values = values
        self._clock = clock
        self._session: BoundedSession | None = None
        self._busy = threading.Lock()

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Ask for each of `symbols`, which is one, with one request."""
        raws: list[RawResponse] = []
        unanswered: dict[str, MarketDataError] = {}
        if not self._busy.acquire(blocking=False):
            late = UpstreamTimeout("an earlier fetch has not ended yet")
            return combine(symbols, (), self.parse, unanswered=late)
        try:
            for symbol in symbols:
                try:
                    gate.take(ENDPOINT)
                    raws.append(self._asked(symbol, gate))
                except MarketDataError as error:
                    unanswered[symbol] = error
        finally:
            self._busy.release()
        return combine(symbols, raws, self.parse, unanswered=unanswered)

    def parse(self, raw: RawResponse) -> Parsed:
        """Read a GLOBAL_QUOTE answer, its errors told as content included."""
        (symbol,) = raw.symbols
        try:
            return Parsed(quotes={symbol: _quote(symbol, raw)})
        except MarketDataError as error:
            return Parsed(failures={symbol: error})

    def close(self) -> None:
        """Close the session, unless a fetch is under way; a later fetch opens a new one."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            if self._session is not None:
                self._session.close()
                self._session = None
        finally:
            self._busy.release()

    def _asked(self, symbol: str, gate: RequestGate) -> RawResponse:
        if self._session is None:
            self._session = BoundedSession()
        try:
            key = read_key(self._values)
            asked = {"function": "GLOBAL_QUOTE", "symbol": symbol}
            address = f"{self._values.base_url.rstrip('/')}/query?"
            response = self._session.send(
                "GET",
                address + urlencode(asked | {"apikey": key.get_secret_value()}),
                seconds=self._values.deadline_seconds,
                what=ENDPOINT,
                options={},
            )
        except MarketDataError as error:
            gate.failed(ENDPOINT, error)
            raise
        fetched_at = self._clock.now()
        raw = RawResponse(
            raw_response_id=uuid7(fetched_at),
            provider=NAME,
            url=address + urlencode(asked | {"apikey": _REDACTED}),
            status=response.status_code,
            headers={
                name.lower(): value or ""
                for name, value in response.headers.items()
                if name.lower() in _KEPT_HEADERS
            },
            body=response.content.replace(key.get_secret_value().encode(), _REDACTED.encode()),
            symbols=(symbol,),
            fetched_at=fetched_at,
        )
        self._tell(gate, said(raw, self.parse).failures.get(symbol))
        return raw

    def _tell(self, gate: RequestGate, error: MarketDataError | None) -> None:
        if error is None or isinstance(error, UnknownSymbol):
            gate.succeeded(ENDPOINT)
        else:
            gate.failed(ENDPOINT, error)


def _quote(symbol: str, raw: RawResponse) -> Quote:
    content = _content(raw)
    row = content.get("Global Quote")
    if not isinstance(row, Mapping):
        raise BadResponse("Alpha Vantage's answer does not have the known shape")
    if not row:
        raise UnknownSymbol(f"Alpha Vantage does not know {symbol}")
    try:
        price = read_price(row["05. price"])
        day = _day(row["07. latest trading day"])
    except (KeyError, TypeError, ValueError, InvalidInput):
        raise BadResponse(f"Alpha Vantage's quote of {symbol} makes no sense") from None
    return Quote(
        symbol=symbol,
        price=price,
        observed_at=min(datetime.combine(day, _END_OF_DAY), raw.fetched_at.replace(microsecond=0)),
    )


def _day(text: str) -> date:
    """Return the trading day; raises ValueError, and TypeError for what is no text."""
    if _DAY.fullmatch(text) is None:  # date alone takes 20260227 too, and strptime any alphabet's digits
        raise ValueError("not a day")
    day = date.fromisoformat(text)
    if day < EARLIEST.date():
        raise ValueError("not a day of a price")
    return day


def _content(raw: RawResponse) -> Mapping[str, object]:
    """Return the JSON object of an answer, its refusals raised."""
    after = retry_after(raw.headers, raw.fetched_at)
    if raw.status == 429:
        raise RateLimited("Alpha Vantage limits requests", retry_after=after)
    if raw.status in {401, 403} or 300 <= raw.status < 400:
        raise Blocked(f"Alpha Vantage refuses requests with status {raw.status}")
    if raw.status >= 500:
        raise UpstreamUnavailable(f"Alpha Vantage failed with status {raw.status}", retry_after=after)
    try:
        content = json.loads(raw.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, Mapping):
        raise BadResponse("Alpha Vantage answered with something other than a JSON object")
    if "Note" in content or "Information" in content:
        raise RateLimited("Alpha Vantage limits requests", retry_after=after)
    complaint = content.get("Error Message")
    if complaint is not None and "apikey" in str(complaint).lower():
        raise Blocked("Alpha Vantage does not accept the key")
    if complaint is not None:
        raise UnknownSymbol(f"Alpha Vantage does not know {raw.symbols[0]}")
    return content


def read_key(values: AlphaVantageSettings) -> SecretStr:
    """Return the key as it is now: a file is read each time, so a rotated Secret needs no restart.

    Raises Misconfigured where there is none.
    """
    key = values.api_key.get_secret_value() if values.api_key else ""
    if values.api_key_file is not None:
        key = _content_of(values.api_key_file)
    if not key.strip():
        raise Misconfigured(
            "ALPHA_VANTAGE_API_KEY is not set; give the key, or ALPHA_VANTAGE_API_KEY_FILE, a file with it"
        )
    return SecretStr(key.strip())


def _content_of(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"ALPHA_VANTAGE_API_KEY_FILE: {path} cannot be read: {type(error).__name__}"
        ) from None


def create(environ: Mapping[str, str]) -> AlphaVantageProvider:
    """Return the provider; raises Misconfigured where there is no key."""
    values = settings.read(NAME, AlphaVantageSettings, environ)
    read_key(values)
    return AlphaVantageProvider(values=values, clock=SystemClock())
