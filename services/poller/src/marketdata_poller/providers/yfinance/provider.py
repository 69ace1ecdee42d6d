"""yfinance as a provider: what it can do, and the library left alone until the first fetch.

Importing yfinance takes 95 MiB and most of a second; a poller without a job for it, and a replay
that only reads stored answers, do without.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from marketdata.clock import Clock, SystemClock
from marketdata.domain.answer import Answer, Parsed, RawResponse
from marketdata.errors import UpstreamTimeout
from marketdata_poller.ports import Capabilities, RequestGate
from marketdata_poller.providers import settings
from marketdata_poller.providers.answers import combine
from marketdata_poller.providers.settings import YfinanceSettings
from marketdata_poller.providers.yfinance.folder import CacheFolder
from marketdata_poller.providers.yfinance.reading import read

if TYPE_CHECKING:
    from marketdata_poller.providers.yfinance.fetching import YahooFetcher

NAME = "yfinance"


class YfinanceProvider:
    """Yahoo Finance through yfinance."""

    name = NAME

    def __init__(self, *, values: YfinanceSettings, folder: CacheFolder, clock: Clock) -> None:
        self.capabilities = Capabilities(
            max_symbols_per_request=values.batch_size,
            requests_per_minute=values.requests_per_minute,
            burst=max(10, int(values.requests_per_minute // 6)),
            deadline_seconds=values.deadline_seconds,
        )
        self._values = values
        self._folder = folder
        self._clock = clock
        self._fetcher: YahooFetcher | None = None
        self._busy = threading.Lock()

    def fetch(self, symbols: Sequence[str], *, gate: RequestGate) -> Answer:
        """Ask for `symbols` in one quote request, and for at most a few of them by chart.

        The first call also imports yfinance, before the deadline begins. While a fetch given up by
        its caller still runs, another fails at once: there is one session.
        """
        if not self._busy.acquire(blocking=False):
            late = UpstreamTimeout("an earlier fetch has not ended yet")
            return combine(symbols, (), self.parse, unanswered=late)
        try:
            if self._fetcher is None:
                self._fetcher = self._made()
            return self._fetcher.fetch(symbols, gate=gate)
        finally:
            self._busy.release()

    def parse(self, raw: RawResponse) -> Parsed:
        """Read a quote or a chart answer."""
        return read(raw)

    def close(self) -> None:
        """Close the session and remove a private cache folder; a fetch under way keeps both."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            if self._fetcher is not None:
                self._fetcher.close()
                self._fetcher = None
            self._folder.close()
        finally:
            self._busy.release()

    def _made(self) -> "YahooFetcher":
        # The one late import, for the reason above.
        from marketdata_poller.providers.yfinance import fetching, session, transport  # noqa: PLC0415

        guarded = session.GuardedSession(upstream=self._values.base_url, clock=self._clock)
        return fetching.YahooFetcher(
            transport=transport.YahooTransport(session=guarded, cache_dir=self._folder.path),
            deadline_seconds=self._values.deadline_seconds,
            chart_symbols=self._values.chart_symbols,
            clock=self._clock,
        )


def create(environ: Mapping[str, str]) -> YfinanceProvider:
    """Return the provider as the MARKETDATA_YFINANCE_ variables say.

    Raises Misconfigured where the cache folder cannot be written: yfinance would go on without it
    and send twice the requests.
    """
    values = settings.read(NAME, YfinanceSettings, environ)
    return YfinanceProvider(values=values, folder=CacheFolder(values.cache_dir), clock=SystemClock())
