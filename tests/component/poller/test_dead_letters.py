"""Dead letters that cannot go out as they are, or not at all, and the events beside them."""

from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import text

from marketdata.messages import topics
from support import settling
from support.letters import a_letter, keep
from support.waiting import eventually

# Over what the relay's client takes, so that it is refused whatever the broker's limit is.
TOO_LARGE = 2_100_000


def forwarded(world, count):
    """Return the dead-letter topic's first `count` messages as key, value and headers, by dlq_id."""
    consumer = Consumer({"bootstrap.servers": world.kafka.bootstrap, "group.id": "reads", "log_level": 0})
    found = {}

    def read_all():
        known = consumer.list_topics(world.kafka.dead_letter_topic, timeout=10)
        partitions = known.topics[world.kafka.dead_letter_topic].partitions
        consumer.assign([TopicPartition(world.kafka.dead_letter_topic, each, 0) for each in partitions])
        while (message := consumer.poll(1)) is not None:
            if message.error() is None:
                headers = dict(cast("list[tuple[str, bytes]]", message.headers()))
                found[headers[topics.HEADER_DLQ_ID].decode()] = (message.key(), message.value(), headers)
        return len(found) == count

    eventually(read_all, within=30)
    consumer.close()
    return found


@pytest.mark.kafka
def test_a_letter_with_a_large_key_or_large_headers_is_forwarded_by_its_marks_and_stays_whole_in_the_table(
    world,
):
    large = [
        a_letter(0, headers=[("h", b"x" * TOO_LARGE)]),
        a_letter(1, key=b"x" * TOO_LARGE),
        a_letter(2, value=b"x" * TOO_LARGE, headers=[("h", b"small")]),
    ]
    ids = keep(world.database.engine, [*large, a_letter(3)])
    world.poller("--roles", "relay")

    eventually(lambda: world.count("dead_letters", "forwarded_at is null") == 0, within=40)

    letters = forwarded(world, len(ids))
    bodies = [letters[str(each)][:2] for each in ids]
    assert bodies == [(None, None), (None, None), (b"synthetic:AAPL", None), (b"synthetic:AAPL", b"{")]
    for at, identifier in enumerate(ids):
        headers = letters[str(identifier)][2]
        assert headers[topics.HEADER_DLQ_REASON] == b"poison_message"
        assert headers[topics.HEADER_DLQ_TOPIC] == b"price-events"
        assert headers[topics.HEADER_DLQ_OFFSET] == str(at).encode()
        assert headers.get("h") == (b"small" if at == 2 else None)
    assert (
        world.scalar("""select sum(coalesce(length(key), 0) + coalesce(length(value), 0)
        + length(headers::text)) from dead_letters""")
        > 3 * TOO_LARGE
    )


@pytest.mark.kafka
def test_events_go_out_while_dead_letters_stand_still(world):
    made = settling.Pipeline(world.database.engine)
    keep(world.database.engine, [a_letter()])
    with world.database.engine.begin() as connection:
        connection.execute(text("lock table dead_letters in access exclusive mode"))
        world.poller("--roles", "relay").says("started")
        for _ in range(3):
            made.an_event()
            eventually(lambda: world.count("outbox", "published_at is null") == 0, within=10)

    eventually(lambda: world.count("dead_letters", "forwarded_at is null") == 0, within=40)


@pytest.mark.real_kafka
@pytest.mark.timeout(180)
def test_a_missing_dead_letter_topic_is_said_once_holds_up_no_event_and_is_noticed_when_it_is_there(world):
    missing = f"{world.kafka.dead_letter_topic}.missing"
    made = settling.Pipeline(world.database.engine)
    keep(world.database.engine, [a_letter()])
    relay = world.poller("--roles", "relay", env={"KAFKA_DEAD_LETTER_TOPIC": missing})
    relay.says("dead letters do not go out")
    for _ in range(10):
        made.an_event()
        eventually(lambda: world.count("outbox", "published_at is null") == 0, within=2)

    world.kafka.create_topic(missing)
    try:
        eventually(lambda: world.count("dead_letters", "forwarded_at is null") == 0, within=60)
        relay.says("dead letters go out again")
    finally:
        relay.terminate()
        relay.wait()
        world.kafka.delete_topic(missing)
    assert relay.output().count("dead letters do not go out") == 1
    assert "a dependency is away" not in relay.output()
