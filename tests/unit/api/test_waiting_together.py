"""Questions gathered into one fetch, and outages found out once."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from marketdata.errors import CacheUnavailable
from marketdata_api.gathering import Gathering
from marketdata_api.outage import Outage


def test_questions_of_one_turn_are_one_fetch_and_those_during_it_the_next() -> None:
    batches: list[list[str]] = []

    async def scenario() -> list[str | None]:
        gate = asyncio.Event()

        async def fetch(keys: Sequence[str]) -> Mapping[str, str]:
            batches.append(list(keys))
            await gate.wait()
            return {key: key.upper() for key in keys if key != "none"}

        gathering = Gathering(fetch)
        first = [gathering.ask(key) for key in ("a", "b", "a", "none")]
        await asyncio.sleep(0)
        later = [gathering.ask(key) for key in ("b", "c")]
        gate.set()
        return await asyncio.gather(*first, *later)

    assert asyncio.run(scenario()) == ["A", "B", "A", None, "B", "C"]
    assert batches == [["a", "b", "none"], ["b", "c"]]


def test_a_failed_fetch_is_heard_by_all_who_asked_and_the_next_one_works() -> None:
    async def scenario() -> tuple[list[object], str | None]:
        failing = True

        async def fetch(keys: Sequence[str]) -> Mapping[str, str]:
            if failing:
                raise CacheUnavailable
            return dict.fromkeys(keys, "x")

        gathering = Gathering(fetch)
        failed = await asyncio.gather(gathering.ask("a"), gathering.ask("b"), return_exceptions=True)
        failing = False
        return list(failed), await gathering.ask("a")

    failed, after = asyncio.run(scenario())
    assert [type(error) for error in failed] == [CacheUnavailable, CacheUnavailable]
    assert after == "x"


def test_one_who_gave_up_does_not_take_the_answer_from_the_others() -> None:
    async def scenario() -> str | None:
        async def fetch(keys: Sequence[str]) -> Mapping[str, str]:
            return dict.fromkeys(keys, "x")

        gathering = Gathering(fetch)
        gone, there = gathering.ask("a"), gathering.ask("a")
        gone.cancel()
        return await there

    assert asyncio.run(scenario()) == "x"


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_an_outage_ends_with_the_first_probe_that_works(failures: int) -> None:
    told: list[float] = []
    probes = 0

    async def scenario() -> None:
        async def probe() -> None:
            nonlocal probes
            probes += 1
            if probes <= failures:
                raise CacheUnavailable

        over = asyncio.Event()

        def tell(away: float) -> None:
            told.append(away)
            if not away:
                over.set()

        outage = Outage("redis", probe=probe, tell=tell)
        outage.begin(CacheUnavailable())
        outage.begin(CacheUnavailable())
        assert outage.on
        async with asyncio.timeout(30):
            await over.wait()

    asyncio.run(scenario())
    assert told == [1, 0]
    assert probes == failures + 1
