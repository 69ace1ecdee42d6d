"""The lag as the brokers tell it, whatever the consumers do."""

from dataclasses import replace

import pytest
from confluent_kafka import Producer, TopicPartition

from marketdata.clock import SystemClock
from marketdata.settings import KafkaSettings
from marketdata.streaming.group_log import KafkaGroupLog
from support.consuming import Pipeline, prices
from support.metrics import metric
from support.ports import free_port
from support.processes import Process
from support.servers import PARTITIONS, RealBroker
from support.waiting import eventually

_SUM, _UP = "marketdata_lag_sum_messages", "marketdata_lag_up"


class Exporter:
    """A lag exporter of a pipeline's topic and group, and what it tells."""

    def __init__(self, pipeline: Pipeline, **env: str) -> None:
        self._labels = {"consumergroup": pipeline.kafka.group, "topic": pipeline.kafka.topic}
        self.process: Process = pipeline.processes.start(
            "marketdata_consumer",
            "lag-exporter",
            env={
                **pipeline.kafka.env(),
                "MARKETDATA_METRICS_HOST": "127.0.0.1",
                "MARKETDATA_METRICS_PORT": "0",
                "MARKETDATA_LOG_FORMAT": "json",
                "MARKETDATA_LAG_EVERY_SECONDS": "0.2",
                **env,
            },
        )
        self.port = int(self.process.says(r'"metrics_port": (\d+)').group(1))

    def tells(self, name: str, **labels: str) -> float | None:
        return metric(self.port, name, **self._labels, **labels)

    def becomes(self, name: str, value: float | None, *, within: float = 20, **labels: str) -> None:
        eventually(lambda: self.tells(name, **labels) == value, within=within)


@pytest.mark.kafka
def test_all_that_is_there_is_lag_before_anybody_consumed(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline)
    exporter.becomes(_SUM, 0)
    assert exporter.tells("marketdata_lag_longest_seconds") == 0

    pipeline.publish(prices(70), partition=1)
    pipeline.publish(prices(30), partition=2)

    exporter.becomes(_SUM, 100)
    assert exporter.tells(_UP) == 1
    assert exporter.tells("marketdata_lag_messages", partition="1") == 70
    assert exporter.tells("marketdata_lag_messages", partition="0") == 0
    assert exporter.tells("marketdata_lag_seconds", partition="0") == 0


@pytest.mark.kafka
def test_the_lag_goes_with_the_consumer_and_stays_when_it_is_dead(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline)
    pipeline.publish(prices(100))
    exporter.becomes(_SUM, 100)
    consumer = pipeline.start()
    pipeline.await_consumed(100)
    exporter.becomes(_SUM, 0)  # the offset is committed too, and the 0 of before is no answer

    consumer.kill()
    pipeline.publish(prices(40, start=100))

    exporter.becomes(_SUM, 40)


@pytest.mark.kafka
def test_one_look_reads_a_message_of_each_partition_however_much_waits_there(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for partition in range(PARTITIONS):
        pipeline.publish(prices(2_000), partition=partition)
    for name, value in pipeline.kafka.env().items():
        monkeypatch.setenv(name, value)
    log = KafkaGroupLog(KafkaSettings())
    try:
        for position in (0, 500, 1_000):

            def reads_all(position: int = position) -> bool:
                told, said = log.published_at(dict.fromkeys(range(PARTITIONS), position))
                assert (set(told), said) == (set(range(PARTITIONS)), frozenset())
                return True

            # A look has two seconds, and a broker on a busy machine may take longer; where what waits
            # holds up other partitions, no look reads them all.
            eventually(reads_all, within=30)
    finally:
        log.close()


@pytest.mark.kafka
def test_the_lag_in_seconds_is_the_age_of_the_first_unread_message(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline)
    before = SystemClock().now()
    pipeline.publish(prices(5), partition=0)

    def told() -> bool:
        age = exporter.tells("marketdata_lag_seconds", partition="0")
        return age is not None and 3 < age <= (SystemClock().now() - before).total_seconds() + 1

    eventually(told, within=20)

    consumer = pipeline.start()
    exporter.becomes("marketdata_lag_seconds", 0, partition="0", within=40)
    consumer.terminate()
    consumer.wait()
    pipeline.publish(prices(1, start=5), partition=0)

    exporter.becomes("marketdata_lag_messages", 1, partition="0")
    eventually(lambda: 0 < (exporter.tells("marketdata_lag_longest_seconds") or 0) < 20, within=20)


@pytest.mark.kafka
@pytest.mark.parametrize("milliseconds", [-(2**62), -(10**14)])
def test_beside_a_message_whose_time_cannot_be_the_lag_in_messages_and_of_others_is_told(
    pipeline: Pipeline, milliseconds: int
) -> None:
    producer = Producer({"bootstrap.servers": pipeline.kafka.bootstrap})
    producer.produce(pipeline.kafka.topic, b"{", partition=0, timestamp=milliseconds)
    assert producer.flush(20) == 0
    pipeline.publish(prices(3), partition=1)
    exporter = Exporter(pipeline)

    exporter.becomes(_SUM, 4)
    eventually(lambda: exporter.tells("marketdata_lag_seconds", partition="1") is not None, within=20)

    assert exporter.tells("marketdata_lag_messages", partition="0") == 1
    assert exporter.tells("marketdata_lag_seconds", partition="0") is None
    assert exporter.tells("marketdata_lag_longest_seconds") is None
    line = exporter.process.says(r".*lag_partly_unknown.*").group()
    assert '"partitions": [0]' in line
    assert str(milliseconds) in line


@pytest.mark.real_kafka
def test_a_topic_that_grew_is_told_with_all_its_partitions(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline)
    exporter.becomes("marketdata_lag_partitions", PARTITIONS)
    pipeline.kafka.grow_topic(pipeline.kafka.topic, PARTITIONS + 2)

    exporter.becomes("marketdata_lag_partitions", PARTITIONS + 2)
    pipeline.publish(prices(9), partition=PARTITIONS + 1)

    exporter.becomes("marketdata_lag_messages", 9, partition=str(PARTITIONS + 1))


@pytest.mark.real_kafka
def test_what_retention_deleted_is_no_lag(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline)
    pipeline.publish(prices(30), partition=0)
    exporter.becomes(_SUM, 30)
    where = TopicPartition(pipeline.kafka.topic, 0, 20)
    admin = pipeline.kafka.admin()
    admin.delete_records([where])[where].result(20)

    exporter.becomes(_SUM, 10)
    eventually(lambda: (exporter.tells("marketdata_lag_seconds", partition="0") or 0) > 0, within=20)


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_groups_of_both_protocols_are_told(pipeline: Pipeline, protocol: str) -> None:
    grouped = pipeline.set(MARKETDATA_KAFKA_GROUP_PROTOCOL=protocol)
    exporter = Exporter(grouped)
    grouped.publish(prices(20))
    exporter.becomes(_SUM, 20)

    grouped.start()

    exporter.becomes(_SUM, 0, within=40)


@pytest.mark.kafka
def test_a_topic_that_is_not_there_has_no_lag_that_is_known(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline, KAFKA_TOPIC="no-such-topic")
    exporter.process.says("there is no such topic")

    labels = {"consumergroup": pipeline.kafka.group, "topic": "no-such-topic"}
    assert metric(exporter.port, _UP, **labels) == 0
    assert metric(exporter.port, _SUM, **labels) is None


@pytest.mark.kafka
def test_a_broker_that_cannot_be_reached_makes_no_lag_of_0(pipeline: Pipeline) -> None:
    exporter = Exporter(pipeline, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    exporter.process.says("lag_unknown", within=30)

    assert exporter.tells(_UP) == 0
    assert exporter.tells(_SUM) is None
    assert exporter.tells("marketdata_lag_longest_seconds") is None


@pytest.mark.real_kafka
@pytest.mark.timeout(300)  # of waits that may take minutes in all
def test_a_lag_that_was_known_is_absent_while_the_broker_is_away(
    pipeline: Pipeline, real_broker: RealBroker
) -> None:
    far = replace(pipeline.kafka, bootstrap=real_broker.bootstrap)
    far.create_topic(far.topic)
    away = replace(pipeline, kafka=far)
    away.publish(prices(10))
    exporter = Exporter(away)
    exporter.becomes(_SUM, 10)

    real_broker.kill()

    exporter.becomes(_UP, 0, within=40)
    assert exporter.tells(_SUM) is None
    assert exporter.tells("marketdata_lag_messages", partition="0") is None

    real_broker.up()

    exporter.becomes(_SUM, 10, within=60)
