"""The log is not what it was: shuffled, grown, emptied, made again, on another broker."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicPartition

from marketdata.settings import KafkaSettings
from marketdata.streaming.accounts import log_account
from marketdata.streaming.consumer import KafkaEventStream
from marketdata_consumer.steps import ConsumerStep
from marketdata_tools.embedded.broker import EmbeddedBroker
from support.builders import a_price, at
from support.consuming import Pipeline, prices
from support.processes import Processes
from support.servers import PARTITIONS, Database, kafka_names
from support.tables import check_tables, counts
from support.waiting import eventually


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_shuffled_topic_ends_in_the_same_tables(pipeline: Pipeline, protocol: str) -> None:
    chance = random.Random(7)
    events = prices(300) + [
        a_price(symbol=f"S{i % 7}", price="200", observed_at=at(i), fetched_at=at(5000 + i))
        for i in range(20)
    ]
    shuffled = events + chance.sample(events, 40)
    chance.shuffle(shuffled)
    for i in range(PARTITIONS):
        pipeline.publish(shuffled[i::PARTITIONS], partition=i)
    for _ in range(2):
        pipeline.set(MARKETDATA_KAFKA_GROUP_PROTOCOL=protocol, MARKETDATA_CONSUMER_BATCH_SIZE="17").start()
    pipeline.await_consumed(len(shuffled), within=60)
    check_tables(pipeline.database.engine, events)


def test_a_new_broker_is_a_new_account_read_from_its_start(
    database: Database, redis_url: str, processes: Processes, tmp_path: Path
) -> None:
    topic = "price-events-moving"
    events = prices(40)
    for round_ in range(2):
        broker = EmbeddedBroker(tmp_path / str(round_))
        broker.start()
        names = kafka_names(broker.bootstrap, is_real=False)
        pipeline = Pipeline(replace(names, topic=topic), database, redis_url, processes, {})
        pipeline.publish(events[20 * round_ : 20 * (round_ + 1)])
        process = pipeline.start()
        pipeline.await_tables(events[: 20 * (round_ + 1)])
        process.terminate()
        assert process.wait() == 0
        broker.stop()
        assert pipeline.scalar("select count(*) from consumer_accounts where closed_at is null") == 1
        assert pipeline.scalar("select count(*) from consumer_accounts where closed_at is not null") == round_
        assert pipeline.scalar("select count(*) from consumer_gaps") == 0


@pytest.mark.real_kafka
def test_a_grown_topic_is_read_from_the_start_of_its_new_partitions(pipeline: Pipeline) -> None:
    before, after = prices(40), prices(80, start=40)
    pipeline.publish(before)
    pipeline.start()
    pipeline.await_tables(before)
    pipeline.kafka.grow_topic(pipeline.kafka.topic, PARTITIONS + 3)
    for i, partition in enumerate((PARTITIONS, PARTITIONS + 1, PARTITIONS + 2)):
        pipeline.publish(after[i::3], partition=partition)
    pipeline.await_tables(before + after, within=60)
    assert pipeline.scalar("select count(*) from consumer_gaps") == 0


def _empty(pipeline: Pipeline, *, before: int) -> None:
    """Delete the messages of partition 0 before an offset, as retention does."""
    where = TopicPartition(pipeline.kafka.topic, 0, before)
    admin = pipeline.kafka.admin()  # its futures end with it
    admin.delete_records([where])[where].result(20)


@pytest.mark.real_kafka
@pytest.mark.parametrize("is_running", [True, False])
def test_an_emptied_topic_is_read_on_from_its_new_start_and_the_gap_counted(
    pipeline: Pipeline, is_running: bool
) -> None:
    read, lost, later = prices(20), prices(20, start=20), prices(20, start=40)
    pipeline.publish(read, partition=0)
    process = pipeline.start()
    pipeline.await_tables(read)
    if is_running:
        process.stop()
    else:
        process.terminate()
        assert process.wait() == 0
    pipeline.publish(lost, partition=0)
    _empty(pipeline, before=40)
    pipeline.publish(later, partition=0)
    if is_running:
        process.cont()
    else:
        process = pipeline.start()
    eventually(lambda: counts(pipeline.database.engine)["next_offset"] == 60, within=60)
    # One that was stopped while it asked may have been sent some before they were deleted, or all.
    sent = pipeline.scalar("select count(*) from price_points") - 40
    assert sent == 0 or is_running
    check_tables(pipeline.database.engine, read + lost[:sent] + later)
    assert pipeline.scalar("select count(*) from consumer_gaps") == int(sent < len(lost))
    if sent < len(lost):
        assert pipeline.scalar("select position from consumer_gaps") == 20 + sent
        assert pipeline.scalar("select log_start from consumer_gaps") == 40
        assert "gap_found" in process.output()


@pytest.mark.real_kafka
def test_a_partition_whose_first_messages_are_gone_flows_at_every_start(pipeline: Pipeline) -> None:
    pipeline.publish(prices(60), partition=0)
    _empty(pipeline, before=40)
    for number in range(10):  # a fetch overtook the pause in about every second start
        settings = KafkaSettings(
            bootstrap_servers=pipeline.kafka.bootstrap, topic=pipeline.kafka.topic, group=f"start-{number}"
        )
        stream = KafkaEventStream(settings, client_id="test")
        taken: list[int] = []

        def flows(stream: KafkaEventStream = stream, taken: list[int] = taken) -> bool:
            taken += [m.offset() or 0 for each in stream.consume(100, 0.1).values() for m in each]
            assert not stream.outside()
            if 0 in stream.assigned() and not taken:
                stream.run({0: 40})
            return len(taken) >= 20

        eventually(flows, within=20, every=0.01)
        stream.close()
        assert taken == list(range(40, 60))


@pytest.mark.real_kafka
def test_a_crash_right_after_a_gap_was_reopened_counts_it_once(pipeline: Pipeline) -> None:
    read, later = prices(20), prices(20, start=40)
    pipeline.publish(read, partition=0)
    first = pipeline.start()
    pipeline.await_tables(read)
    first.terminate()
    assert first.wait() == 0
    pipeline.publish(prices(20, start=20), partition=0)
    _empty(pipeline, before=40)
    pipeline.publish(later, partition=0)
    pipeline.anew().start(crash_at=ConsumerStep.GAP_REOPENED).crashed()
    pipeline.anew().start()
    pipeline.await_tables(read + later)
    assert pipeline.scalar("select count(*) from consumer_gaps") == 1


@pytest.mark.real_kafka
def test_a_topic_made_again_is_a_new_account_and_the_old_one_is_closed(pipeline: Pipeline) -> None:
    before, after = prices(20), prices(20, start=20)
    config = {"bootstrap.servers": pipeline.kafka.bootstrap}
    pipeline.publish(before)
    pipeline.start()
    pipeline.await_tables(before)
    old = log_account(config, pipeline.kafka.topic, 5)
    pipeline.kafka.delete_topic(pipeline.kafka.topic)

    def create() -> bool:
        try:
            pipeline.kafka.create_topic(pipeline.kafka.topic)
        except KafkaException as error:  # the broker is still deleting
            raise AssertionError(str(error)) from None
        return True

    eventually(create, within=20)
    eventually(lambda: log_account(config, pipeline.kafka.topic, 5) != old, within=20)
    pipeline.publish(after)
    pipeline.await_tables(before + after, within=90)
    assert pipeline.scalar("select count(*) from consumer_accounts where closed_at is null") == 1
    assert counts(pipeline.database.engine)["dead"] == 0


@pytest.mark.kafka
@pytest.mark.parametrize("lost", [range(PARTITIONS), [0]], ids=["all", "one"])
def test_partitions_that_the_client_forgot_to_resume_flow_again(
    pipeline: Pipeline, lost: Sequence[int]
) -> None:
    events = prices(40)
    pipeline.publish(events[:20])
    process = pipeline.start_losing_resumes(*lost)
    pipeline.await_consumed(20, within=30)
    pipeline.publish(events[20:])
    pipeline.await_tables(events)
    assert "stalled" in process.output()
