import asyncio
import threading
from collections.abc import Callable

import pytest

from marketdata.errors import StoreRefused, StoreTimeout, StoreUnavailable
from marketdata.storage.engine import consent
from marketdata_api import store as store_module
from marketdata_api.store import EffectUnknown, StoreCalls


@pytest.fixture(autouse=True)
def _patient_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of a busy machine answers late, and is not to be taken for a store that is away."""
    monkeypatch.setattr(store_module, "_PROBE_SECONDS", 30.0)


def calls(ping: Callable[[], None], *, deadline_seconds: float = 30) -> StoreCalls:
    return StoreCalls(threads=2, deadline_seconds=deadline_seconds, ping=ping, tell=lambda _: None)


def well() -> None:
    pass


def lost() -> None:
    raise StoreUnavailable


def cancelled() -> None:
    raise StoreTimeout


def refused() -> None:
    raise StoreRefused


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


def test_a_write_that_was_refused_is_no_outage_while_the_probe_is_answered() -> None:
    assert not after(refused, ping=well)
    assert after(refused, ping=lost)


def test_a_call_over_its_deadline_is_no_outage_while_the_probe_is_answered() -> None:
    end = threading.Event()

    async def ask() -> bool:
        store = calls(well, deadline_seconds=0.05)
        slow = asyncio.create_task(store.run(end.wait))
        await asyncio.sleep(0)
        store._deadline = 30  # from now on, for the probe: it is answered on a busy machine too
        with pytest.raises(StoreUnavailable) as caught:
            await slow
        assert caught.value.retry_after is not None
        away = store.outage.on
        await store.outage.close()
        return away

    try:
        assert not asyncio.run(ask())
    finally:
        end.set()


def test_a_slow_call_whose_probe_fails_is_an_outage() -> None:
    assert after(cancelled, ping=lost)


def test_a_lost_connection_is_an_outage_at_once() -> None:
    assert after(lost, ping=well)


def test_many_slow_calls_ask_for_one_probe() -> None:
    pings: list[None] = []
    doubts: list[None] = []
    both_doubt = threading.Event()

    def ping() -> None:
        pings.append(None)
        both_doubt.wait(30)

    async def ask() -> None:
        store = calls(ping)
        doubt = store.outage.doubt

        async def counted() -> None:
            doubts.append(None)
            if len(doubts) == 2:
                both_doubt.set()
            await doubt()

        store.outage.doubt = counted  # type: ignore[method-assign]
        await asyncio.gather(*(store.run(cancelled) for _ in range(2)), return_exceptions=True)
        await store.outage.close()

    asyncio.run(ask())
    assert (len(doubts), len(pings)) == (2, 1)


def outcome_of(call: Callable[[threading.Event], None]) -> type[BaseException]:
    """Return what the deadline makes of `call`, which gets what is set when its caller has gone."""
    begun, gone = threading.Event(), threading.Event()

    def noted() -> None:
        begun.set()
        call(gone)

    async def ask(deadline_seconds: float) -> type[BaseException]:
        store = calls(well, deadline_seconds=deadline_seconds)
        with pytest.raises(StoreUnavailable) as caught:
            await store.run(noted)
        gone.set()
        await store.outage.close()
        return caught.type

    found, deadline_seconds = asyncio.run(ask(0.05)), 0.05
    while not begun.is_set():  # a thread of a busy machine begins late
        gone.clear()
        deadline_seconds *= 2
        found = asyncio.run(ask(deadline_seconds))
    return found


def test_a_call_that_nobody_waits_for_any_more_may_not_commit() -> None:
    refused: list[StoreTimeout] = []
    ended = threading.Event()

    def call(gone: threading.Event) -> None:
        gone.wait(30)
        try:
            consent()
        except StoreTimeout as error:
            refused.append(error)
        ended.set()

    assert outcome_of(call) is StoreUnavailable
    assert ended.wait(30)
    assert len(refused) == 1


def test_a_call_that_was_at_its_commit_when_the_time_was_up_may_have_been_done() -> None:
    def call(gone: threading.Event) -> None:
        consent()
        gone.wait(30)

    assert outcome_of(call) is EffectUnknown


def test_a_connection_lost_before_the_commit_did_nothing_and_one_lost_in_it_may_have() -> None:
    def lost_at_commit() -> None:
        consent()
        raise StoreUnavailable

    async def ask(call: Callable[[], None]) -> type[BaseException]:
        store = calls(well)
        with pytest.raises(StoreUnavailable) as caught:
            await store.run(call)
        await store.outage.close()
        return caught.type

    assert asyncio.run(ask(lost)) is StoreUnavailable
    assert asyncio.run(ask(lost_at_commit)) is EffectUnknown
