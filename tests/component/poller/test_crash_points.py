"""A poller killed after each of its effects, one after the other, and nothing lost or doubled by it."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

from marketdata.storage.dead_letters import PostgresDeadLetters
from marketdata.storage.partitions import PostgresPartitions
from marketdata_poller.steps import MaintenanceStep, PollerStep, PromiseStep, RelayStep, SweepStep
from support.waiting import eventually

pytestmark = pytest.mark.faults
POISON = b"not json"


def slow_upstream(world):
    # Once: a drip left over would be what the poller meets that is to find the hang.
    world.upstream.fault("drip", endpoint="quote", times=1, seconds=0.002)


def hanging_upstream(world):
    world.upstream.fault("hang", endpoint="quote", times=1)


def a_dead_letter(world):
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap})
    producer.produce(world.kafka.topic, key=b"yfinance:AAPL", value=POISON)
    assert producer.flush(10) == 0
    eventually(lambda: world.count("dead_letters", "forwarded_at is null") > 0, within=20)


def a_wish_for_replay(world):
    a_dead_letter(world)
    PostgresDeadLetters(world.database.engine).request_replay()


def an_old_day(world):
    partitions = PostgresPartitions(world.database.engine)
    partitions.ensure([partitions.today() - timedelta(days=60)])


def an_old_idempotency_key(world):
    with world.database.engine.begin() as connection:
        connection.execute(
            sa.text("""insert into idempotency_keys (key, body_digest, job_id, response, created_at)
            values ('old', '', gen_random_uuid(), '{}', now() - interval '2 days')""")
        )


def hangs(world, *, after):
    """Tell whether a request for quotes is under way: one of this poller's, not of one that was killed."""
    answers = world.upstream.answers(after=after)
    return any(answer.endpoint == "quote" and not answer.complete for answer in answers)


# What must be the matter for a step to be reached at all.
PREPARE = {
    PollerStep.RENEWED: slow_upstream,
    PollerStep.RELEASED: hanging_upstream,
    RelayStep.FORWARDED: a_dead_letter,
    RelayStep.FORWARD_MARKED: a_dead_letter,
    RelayStep.REPLAYED: a_wish_for_replay,
    RelayStep.REPLAY_MARKED: a_wish_for_replay,
    MaintenanceStep.DROPPED: an_old_day,
    MaintenanceStep.EXPIRED: an_old_idempotency_key,
}


@pytest.mark.kafka
@pytest.mark.timeout(180)
@pytest.mark.parametrize("steps", [PollerStep, RelayStep, SweepStep, MaintenanceStep, PromiseStep])
def test_nothing_is_lost_or_doubled_whichever_step_a_poller_dies_after(world, steps):
    world.consumer()
    world.watch("AAPL", "MSFT", "NOSUCH")
    world.watch("MSFT", "^GSPC", "GOOG")
    for step in steps:
        if step in PREPARE:
            PREPARE[step](world)
        asked = max((answer.number for answer in world.upstream.answers()), default=0)
        poller = world.poller(crash_at=step, env={"MARKETDATA_YFINANCE_DEADLINE_SECONDS": "60"})
        if step is PollerStep.RELEASED:
            eventually(partial(hangs, world, after=asked), within=30)
            eventually(lambda: world.count("polling_schedule", "lease_until > now()") > 0, within=30)
            poller.terminate()
        poller.crashed()
    survivor = world.poller()
    world.more_polls(4)
    world.suspend_all()
    world.settle()

    world.prove()
    survivor.terminate()
    assert survivor.wait() == 0
