from collections.abc import Callable, Sequence
from typing import cast

from marketdata.clock import ManualClock
from marketdata.domain.price import PricePoint
from marketdata.errors import StoreUnavailable
from marketdata.telemetry.metrics import Metrics
from marketdata_consumer.cachefeed import RETRY_SECONDS, CacheFeed
from marketdata_consumer.ports import PriceStore
from support.builders import a_price


class MemoryCache:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[PricePoint] = []

    def write(self, points: Sequence[PricePoint]) -> int:
        self.written += points
        return len(points)


class ChangedPrices:
    """The one thing that a repair asks of the store; `meanwhile` happens during the answer."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile

    def changed_within(self, seconds: int) -> list[PricePoint]:  # noqa: ARG002 - the port's signature
        self.meanwhile()
        return [a_price()]


def a_feed(store: ChangedPrices, cache: MemoryCache, clock: ManualClock | None = None) -> CacheFeed:
    return CacheFeed(
        cache=cache,
        store=cast("PriceStore", store),
        ttl_seconds=300,
        clock=clock or ManualClock(),
        metrics=Metrics(("marketdata_consumer_",)),
    )


def test_a_repair_that_becomes_owed_during_a_repair_is_still_owed_after_it() -> None:
    store, cache = ChangedPrices(lambda: None), MemoryCache()
    feed = a_feed(store, cache)
    store.meanwhile = feed.owe_repair

    feed.owe_repair()
    feed.repair()
    assert feed.repair_due()

    store.meanwhile = lambda: None
    feed.repair()
    assert not feed.repair_due()


def test_a_repair_is_owed_on_while_the_store_is_away() -> None:
    def away() -> None:
        raise StoreUnavailable

    store, cache = ChangedPrices(away), MemoryCache()
    feed = a_feed(store, cache)
    feed.owe_repair()
    feed.repair()
    feed.write([a_price()])
    assert cache.written == []


def test_a_repair_that_failed_is_due_again_after_a_pause_and_not_at_once() -> None:
    clock = ManualClock()
    feed = a_feed(ChangedPrices(lambda: None), MemoryCache(), clock)

    feed.owe_repair_later()

    assert not feed.repair_due()
    clock.advance(RETRY_SECONDS)
    assert feed.repair_due()
