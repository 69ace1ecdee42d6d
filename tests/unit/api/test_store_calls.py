import asyncio
import threading
from collections.abc import Callable

import pytest

from marketdata.errors import StoreTimeout, StoreUnavailable
from marketdata_api.store import StoreCalls


def calls(ping: Callable[[], None]) -> StoreCalls:
    return StoreCalls(threads=2, deadline_seconds=0.2, ping=ping, tell=lambda _: None)


def well() -> None:
    pass


def lost() -> None:
    raise StoreUnavailable


def cancelled() -> None:
    raise StoreTimeout


def after(call: Callable[[], None], *, ping: Callable[[], None]) -> bool:
    """Return whether the store is taken for away after `call` failed."""

    async def ask() -> bool:
        store = calls(ping)
        with pytest.raises(StoreUnavailable) as caught:
            await store.run(call)
        assert caught.value.retry_after is not None
        away = store.outage.on
        await store.outage.close()
        return away

    return asyncio.run(ask())


def test_a_statement_that_was_cancelled_is_no_outage_while_the_probe_is_answered() -> None:
    assert not after(cancelled, ping=well)


def test_a_call_over_its_deadline_is_no_outage_while_the_probe_is_answered() -> None:
    end = threading.Event()

    def slow() -> None:
        end.wait()

    try:
        assert not after(slow, ping=well)
    finally:
        end.set()


def test_a_slow_call_whose_probe_fails_is_an_outage() -> None:
    assert after(cancelled, ping=lost)


def test_a_lost_connection_is_an_outage_at_once() -> None:
    assert after(lost, ping=well)


def test_many_slow_calls_ask_for_one_probe() -> None:
    pings: list[None] = []
    asked = threading.Event()

    def ping() -> None:
        pings.append(None)
        asked.wait(0.1)

    async def ask() -> None:
        store = calls(ping)
        await asyncio.gather(*(store.run(cancelled) for _ in range(2)), return_exceptions=True)

    asyncio.run(ask())
    assert len(pings) == 1
