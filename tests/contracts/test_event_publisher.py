"""What a way to Kafka says of messages, be it the client's or the one in memory."""

from collections.abc import Iterator

import pytest

from marketdata.clock import SystemClock
from marketdata.domain.publication import Coordinates
from marketdata.errors import StreamUnavailable
from marketdata.streaming.producer import KafkaEventPublisher, Outgoing, Undelivered
from marketdata_poller.ports import EventPublisher
from support.brokers import MemoryPublisher
from support.servers import Kafka
from support.waiting import eventually

TOO_LARGE = b"x" * 2_100_000
MISSING = "no-such-topic"


@pytest.fixture(params=["memory", "kafka"])
def publisher(request: pytest.FixtureRequest, kafka: Kafka) -> Iterator[EventPublisher]:
    made: EventPublisher
    if request.param == "memory":
        made = memory = MemoryPublisher()
        memory.missing.add(MISSING)
    else:
        config = {"bootstrap.servers": kafka.bootstrap}
        made = KafkaEventPublisher(config=lambda: config, clock=SystemClock())
    yield made
    made.close()


def account_of(publisher: EventPublisher, topic: str) -> str:
    """Return the account of a topic, which the broker makes when it is first asked for, and not at once."""

    def ask() -> str:
        try:
            return publisher.account(topic)
        except StreamUnavailable as error:
            raise AssertionError(str(error)) from error

    return eventually(ask, within=20)


@pytest.mark.kafka
def test_each_message_is_told_its_place_and_no_two_share_one(publisher: EventPublisher, kafka: Kafka) -> None:
    account = account_of(publisher, kafka.topic)

    places = publisher.publish(
        [Outgoing(kafka.topic, None, None, [("h", b"1")]), Outgoing(kafka.topic, b"k", b"v")], account=account
    )

    assert [isinstance(place, Coordinates) and place.account for place in places] == [account, account]
    assert len(set(places)) == 2


@pytest.mark.kafka
@pytest.mark.parametrize(
    "part", [{"key": TOO_LARGE, "value": b"v"}, {"key": b"k", "value": TOO_LARGE}, {"headers": TOO_LARGE}]
)
def test_what_is_too_large_in_any_part_is_refused_and_its_neighbours_are_taken(
    publisher: EventPublisher, kafka: Kafka, part: dict[str, bytes]
) -> None:
    account = account_of(publisher, kafka.topic)
    large = Outgoing(
        kafka.topic, part.get("key"), part.get("value"), [("h", part["headers"])] if "headers" in part else []
    )

    first, refused, last = publisher.publish(
        [Outgoing(kafka.topic, b"a", b"v"), large, Outgoing(kafka.topic, b"b", b"v")], account=account
    )

    assert isinstance(first, Coordinates)
    assert isinstance(last, Coordinates)
    assert isinstance(refused, Undelivered)
    assert refused.is_refused


@pytest.mark.real_kafka
def test_a_topic_that_is_missing_is_said_before_anything_is_published(publisher: EventPublisher) -> None:
    with pytest.raises(StreamUnavailable, match=MISSING):
        publisher.account(MISSING)
