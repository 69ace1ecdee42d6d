"""kill -9 at every step of the consumer: nothing lost, nothing doubled."""

import random

import pytest

from marketdata.domain.price import PricePoint
from marketdata_consumer.steps import ConsumerStep
from support.builders import a_price, at
from support.consuming import Pipeline, Raw, prices
from support.tables import check_tables, counts

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

POISON: list[Raw] = [(b"not json", []), (b'{"symbol":"S1"}', [])]

# Reached only where a position is outside its log; rehearsed in test_logs.py.
ELSEWHERE = {ConsumerStep.GAP_REOPENED}


def _check(pipeline: Pipeline, sent: int, events: list[PricePoint]) -> None:
    check_tables(pipeline.database.engine, events)
    found = counts(pipeline.database.engine)
    assert found["consumed"] == found["next_offset"] == sent
    assert found["dead"] == len(POISON) == pipeline.scalar("select count(*) from dead_letters")


@pytest.mark.parametrize("step", [step for step in ConsumerStep if step not in ELSEWHERE])
def test_a_crash_at_any_step_loses_and_doubles_nothing(pipeline: Pipeline, step: ConsumerStep) -> None:
    events = prices(60)
    corrections = [a_price(symbol="S1", price="50", observed_at=at(i), fetched_at=at(999)) for i in (1, 3)]
    pipeline.publish(events)
    pipeline.send(POISON, keys=[b"synthetic:S1", b"synthetic:S2"])
    crashing = pipeline.anew().set(MARKETDATA_CONSUMER_BATCH_SIZE="25").start(crash_at=step)
    crashing.crashed()
    pipeline.publish(corrections)
    survivor = pipeline.anew().start()
    pipeline.await_consumed(64)
    _check(pipeline, 64, events + corrections)
    survivor.terminate()
    assert survivor.wait() == 0


def _crash_again_and_again(pipeline: Pipeline, seed: int, crashes: int) -> None:
    chance = random.Random(seed)
    # A hundred between two crashes are seven batches, more steps than the latest crash waits for.
    events = prices(100 * crashes, symbols=11)
    chance.shuffle(events)
    small = pipeline.set(MARKETDATA_CONSUMER_BATCH_SIZE="15")
    for part in _cut(events, crashes):
        pipeline.publish(part)
        small.anew().start(crash_after_steps=chance.randrange(4, 40)).crashed()
    pipeline.send(POISON)
    last = pipeline.anew().start()
    pipeline.await_consumed(len(events) + len(POISON))
    _check(pipeline, len(events) + len(POISON), events)
    last.terminate()
    assert last.wait() == 0


def _cut(events: list[PricePoint], parts: int) -> list[list[PricePoint]]:
    size = len(events) // parts
    return [events[i : i + size] for i in range(0, len(events), size)]


def test_crashes_at_random_points_find_nothing_that_the_steps_miss(pipeline: Pipeline) -> None:
    _crash_again_and_again(pipeline, seed=1, crashes=4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 30))
def test_a_campaign_of_random_crashes_loses_and_doubles_nothing(pipeline: Pipeline, seed: int) -> None:
    _crash_again_and_again(pipeline, seed=seed, crashes=10)
