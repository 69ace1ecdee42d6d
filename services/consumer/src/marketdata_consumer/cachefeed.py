"""Latest prices on their way to the cache, which may be away.

While it is away nothing waits for it: it is tried again now and then, and once it is back, all
series that changed within the TTL are written anew from the store, so what it missed is there too.
"""

import threading

from marketdata.clock import Clock
from marketdata.domain.price import PricePoint
from marketdata.errors import CacheUnavailable, StoreUnavailable
from marketdata.steps import StepObserver, unobserved
from marketdata.telemetry import logs
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer.ports import LatestCache, PriceStore
from marketdata_consumer.steps import ConsumerStep

_log = logs.get("consumer.cachefeed")

# Long enough that the timeouts of a dead cache cost a few percent of the time, short beside its TTL.
RETRY_SECONDS = 2.0


class CacheFeed:
    """Writes to the cache, and repairs it. Used by the writer's thread only."""

    def __init__(
        self,
        *,
        cache: LatestCache,
        store: PriceStore,
        ttl_seconds: int,
        clock: Clock,
        metrics: Metrics,
        on_step: StepObserver = unobserved,
    ) -> None:
        self._cache = cache
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._writes = metrics.counter("marketdata_consumer_cache_writes_total")
        self._on_step = on_step
        self._owes_repair = threading.Event()
        self._try_again_at = float("-inf")

    def write(self, points: list[PricePoint]) -> None:
        """Put `points` unless newer ones are there; while a repair is owed, leave them to it."""
        if not self._owes_repair.is_set():
            self._put(points)

    def owe_repair(self) -> None:
        """Say that the cache may be behind the store; any thread may."""
        self._try_again_at = float("-inf")
        self._owes_repair.set()

    def owe_repair_later(self) -> None:
        """Say so after a repair that failed, which is tried again after a pause; any thread may."""
        self._try_again_at = self._clock.monotonic() + RETRY_SECONDS
        self._owes_repair.set()

    def repair(self) -> None:
        """Write all series that changed within the TTL anew; owed on where store or cache is away."""
        # Before the store is read: what is owed from now on is not in what it tells.
        self._owes_repair.clear()
        try:
            points = self._store.changed_within(self._ttl_seconds)
        except StoreUnavailable as error:
            self.owe_repair_later()
            _log.warning("cache_repair_put_off", reason=error.reason)
            return
        self._put(points)
        if not self._owes_repair.is_set():
            _log.info("cache_repaired", series=len(points))
            self._on_step(ConsumerStep.CACHE_REPAIRED)

    def repair_due(self) -> bool:
        """Tell whether a repair is owed and it is time to try; any thread may ask."""
        return self._owes_repair.is_set() and self._clock.monotonic() >= self._try_again_at

    def _put(self, points: list[PricePoint]) -> None:
        if not points:
            return
        try:
            written = self._cache.write(points)
        except CacheUnavailable as error:
            self.owe_repair_later()
            self._writes.labels("failed").inc(len(points))
            _log.warning("cache_away", error=str(error))
            return
        self._writes.labels("written").inc(written)
