"""yfinance's own cookie-and-crumb transport, set up once and kept honest.

`YfData` is a singleton of the process: whoever calls `Ticker(session=…)` or `download()` swaps
its session for everybody, an apology may be kept as its crumb, and it remembers its cookie only
through a cache on disk. This module knows those corners, and is the only one that touches them.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import peewee
import yfinance
from yfinance import cache as yfinance_cache
from yfinance.data import YfData
from yfinance.exceptions import YFException

from marketdata.errors import BadResponse, Misconfigured
from marketdata.telemetry import logs
from marketdata_poller.providers.yfinance.folder import VARIABLE
from marketdata_poller.providers.yfinance.session import GuardedSession

_log = logs.get("yfinance")

# pandas 3 deprecations, a line at each call; nothing that we or the user could act on.
warnings.filterwarnings("ignore", module=r"(yfinance|pandas)(\..*)?$")


class YahooTransport:
    """`YfData` with our session under it; for one thread at a time."""

    def __init__(self, *, session: GuardedSession, cache_dir: Path) -> None:
        """Point the cache at `cache_dir`, which is writable, before anything reads it."""
        yfinance.set_tz_cache_location(str(cache_dir))
        # A cache opened earlier in this process would go on using its old folder.
        yfinance_cache._CookieCacheManager._Cookie_cache = None  # noqa: SLF001
        yfinance_cache._TzCacheManager._tz_cache = None  # noqa: SLF001
        yfinance.config.debug.hide_exceptions = False
        yfinance.config.network.retries = 0
        # Every failure is an outcome of a symbol; the library's own lines would tell it twice.
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        self.session = session
        self._data = YfData(session=session)
        self._data._cookie_strategy = "basic"  # noqa: SLF001
        self._forget_in_memory()

    def get(self, url: str, params: Mapping[str, str], *, timeout: float) -> None:
        """Send one request with cookie and crumb; the session records what comes back.

        Raises CallEnded, BadResponse where yfinance stumbles over an answer, Misconfigured where
        its cache cannot be used.
        """
        self._mend()
        try:
            with _cache_translated():
                self._data.get(url, params=dict(params), timeout=timeout)
        except (YFException, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            # It reads consent pages and cookies without checking their shape.
            _log.warning("yfinance stumbled", error=type(error).__name__, detail=str(error)[:200])
            raise BadResponse(f"yfinance cannot read an answer: {type(error).__name__}") from error

    def renew(self) -> None:
        """Forget cookie and crumb everywhere, so that the next request fetches new ones.

        Raises Misconfigured where the cache cannot be used.
        """
        self.session.cookies.clear()
        self._forget_in_memory()
        with _cache_translated():
            yfinance_cache.get_cookie_cache().store("curlCffi", None)

    def turn(self) -> None:
        """Use the library's other way to a cookie next time: plain, or through the consent form."""
        other = "csrf" if self._data._cookie_strategy == "basic" else "basic"  # noqa: SLF001
        self._data._set_cookie_strategy(other)  # noqa: SLF001

    def _mend(self) -> None:
        if self._data._session is not self.session:  # noqa: SLF001
            self._data._set_session(self.session)  # noqa: SLF001
        crumb = self._data._crumb  # noqa: SLF001
        if crumb is not None and (not crumb or any(mark in crumb for mark in " <{")):
            self._data._crumb = None  # noqa: SLF001

    def _forget_in_memory(self) -> None:
        self._data._crumb = None  # noqa: SLF001
        self._data._cookie = None  # noqa: SLF001


@contextmanager
def _cache_translated() -> Iterator[None]:
    try:
        yield
    except peewee.PeeweeException as error:
        raise Misconfigured(f"{VARIABLE} cannot be used any more: {error}") from error
