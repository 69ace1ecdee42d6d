"""Publishing to Kafka, with proof of where each message was put.

Promises: a message is confirmed by all in-sync replicas or said not to be; the queue in memory is
bounded by the batch handed in; a producer that librdkafka has declared dead is replaced. It may
publish a message twice (a confirmation lost on the way), never in silence not at all.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from marketdata.clock import Clock
from marketdata.domain.publication import Coordinates
from marketdata.errors import StreamUnavailable
from marketdata.streaming.accounts import LogDirectory
from marketdata.streaming.credentials import Credentials
from marketdata.telemetry import logs

_log = logs.get("producer")

# Well below the idle-in-transaction limit (30 s at least), because rows stay locked meanwhile, and dead
# letters for three times as long: all together, and then some alone.
DELIVERY_SECONDS = 8.0
_PROBE_SECONDS = 3.0
# A topic deleted and made again is noticed within this; until then its events carry the old account
# and are published once more, which is harmless.
_ACCOUNT_SECONDS = 5.0
_MAX_MESSAGE_BYTES = 2_000_000  # a poison message of a broker's usual limit, with our headers
# A limit is one of a batch of messages, and a batch with a message that a topic does not take, such as one
# without a key where the topic is compacted, is refused whole.
_REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001 - librdkafka's own codes begin with _
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why a message was not confirmed.

    `is_refused`: for what it is, and in the company of those that it was given with; trying the same again
    changes nothing.
    """

    reason: str
    is_refused: bool = False


Delivery = Coordinates | Undelivered


class KafkaEventPublisher:
    """An idempotent producer; `publish` is called from one thread at a time."""

    def __init__(self, *, config: Callable[[], Mapping[str, Any]], clock: Clock) -> None:
        """`config` gives the settings that reach the cluster, asked again for a password that changed."""
        self._config = config
        self._credentials = Credentials(config)
        self._clock = clock
        self._producer: Producer | None = None
        self._directory: LogDirectory | None = None
        self._accounts: dict[str, tuple[str, float]] = {}

    def account(self, topic: str) -> str:
        """Return the account of `topic`'s log, having heard from the broker just now.

        Blocks up to a few seconds. Raises StreamUnavailable where the broker is out of reach.
        """
        known, asked_at = self._accounts.get(topic, ("", float("-inf")))
        if self._clock.monotonic() - asked_at < _ACCOUNT_SECONDS:
            self._probe(topic)
            return known
        self._probe(topic)  # makes the topic where the broker makes topics on first use
        if self._directory is None:
            self._directory = LogDirectory(self._config, timeout=_PROBE_SECONDS)
        account = self._directory.account(topic)
        if account is None:
            raise StreamUnavailable(f"the cluster has no topic {topic}")
        if known and account != known:
            _log.warning("topic is another log now", topic=topic, before=known, now=account)
            self._discard()  # its idempotence state belongs to the log that is gone
        self._accounts[topic] = (account, self._clock.monotonic())
        return account

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        """Publish `messages` and return what became of each, in order.

        Blocks until all are confirmed or given up, at most DELIVERY_SECONDS and a little. Raises
        nothing for what a broker does; StreamUnavailable, before anything is published, where no
        client can be made.
        """
        deliveries: list[Delivery] = [Undelivered("no report came")] * len(messages)
        producer = self._connected()

        def report_to(index: int) -> Callable[[KafkaError | None, Message], None]:
            def report(error: KafkaError | None, message: Message) -> None:
                deliveries[index] = _delivery(error, message, account)

            return report

        for index, message in enumerate(messages):
            try:
                producer.produce(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=list(message.headers),
                    on_delivery=report_to(index),
                )
            except KafkaException as error:
                deliveries[index] = _failure(error.args[0])
            except BufferError:
                deliveries[index] = Undelivered("the queue is full")
        unconfirmed = producer.flush(DELIVERY_SECONDS + 2.0)
        if unconfirmed or self._is_dead:
            self._discard()
        return deliveries

    def close(self) -> None:
        """Give up what is not confirmed and let go of the connections; idempotent."""
        self._discard()
        self._directory = None

    def _probe(self, topic: str) -> None:
        try:
            self._connected().list_topics(topic, timeout=_PROBE_SECONDS)
        except KafkaException as error:
            if error.args[0].fatal():
                self._discard()
            raise StreamUnavailable(f"no broker answers: {error.args[0].str()}") from error

    def _connected(self) -> Producer:
        if self._is_dead:
            self._discard()
        if self._producer is None:
            self._dead = threading.Event()
            try:
                self._producer = Producer(
                    {
                        **self._credentials.read(),
                        "enable.idempotence": True,
                        "acks": "all",
                        "linger.ms": 5,
                        "compression.type": "lz4",
                        "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                        "request.timeout.ms": 5000,
                        "socket.timeout.ms": 6000,
                        "message.max.bytes": _MAX_MESSAGE_BYTES,
                        "queue.buffering.max.messages": 20_000,
                        "queue.buffering.max.kbytes": 65_536,
                        "reconnect.backoff.max.ms": 1000,
                        "topic.metadata.refresh.interval.ms": 10_000,
                        "error_cb": self._on_error,
                        "log_level": 2,
                    }
                )
            except KafkaException as error:
                raise StreamUnavailable(f"no client can be made: {error}") from error
        else:
            self._credentials.renew(self._producer)
        return self._producer

    _dead = threading.Event()

    @property
    def _is_dead(self) -> bool:
        return self._dead.is_set()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            _log.warning("producer is dead and will be replaced", error=error.str())
            self._dead.set()

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0.1)
        self._producer = None
        self._dead = threading.Event()


def _delivery(error: KafkaError | None, message: Message, account: str) -> Delivery:
    if error is not None:
        return _failure(error)
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        return Undelivered("the broker told no offset")
    return Coordinates(account, partition, offset)


def _failure(error: KafkaError) -> Undelivered:
    return Undelivered(str(error.name()).lower(), error.code() in _REFUSALS)
