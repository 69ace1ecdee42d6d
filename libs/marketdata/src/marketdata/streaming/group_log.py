"""How far a group is behind a topic, asked of the brokers alone.

No member of the group is needed: it may be at work, dead, at zero or yet to come, of either
protocol. The group's committed offsets are for lag tools like this one; the truth about positions
is in Postgres and a second ahead of them at most. Reads one record of a partition where a time is
wanted, joins nothing, commits nothing and makes no topic.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from marketdata.errors import StreamUnavailable
from marketdata.settings import KafkaSettings

_TIMEOUT_SECONDS = 5.0
_READING_SECONDS = 2.0
# One record of each partition is wanted, and a batch is the least that is sent. A broker sends one that
# is larger than asked for only for the first partition of a request; and librdkafka asks for no other
# partition while its queue holds more than the least number of messages: with a small one, all wait for
# the batch of one.
_CONFIG = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "allow.auto.create.topics": False,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 8_192,
    "fetch.queue.backoff.ms": 10,
    "fetch.message.max.bytes": 65_536,
    "fetch.max.bytes": 4_194_304,
    "fetch.wait.max.ms": 100,
    "log_level": 2,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """One partition: its first offset, the one of its next message, and what the group committed."""

    start: int
    end: int
    committed: int | None


class KafkaGroupLog:
    """Asks about one group and one topic; used by one thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._admin: AdminClient | None = None
        self._consumer: Consumer | None = None

    def partitions(self) -> dict[int, PartitionLog]:
        """Return all partitions there are now; empty where there is no such topic.

        Blocks for four requests. Raises StreamUnavailable unless every one of them was answered for
        every partition: nothing is guessed.
        """
        topic = self._settings.topic
        admin, consumer = self._clients()
        try:
            known = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics.get(topic)
            if known is None or known.error is not None or not known.partitions:
                return {}
            all_of_them = [TopicPartition(topic, number) for number in known.partitions]
            # Before the ends, so that a group at work does not seem to have read what is not there.
            committed: dict[int, int] = {}
            for each in consumer.committed(all_of_them, timeout=_TIMEOUT_SECONDS):
                if each.error is not None:
                    raise StreamUnavailable(f"the position of {each.partition} is not told: {each.error}")
                committed[each.partition] = each.offset
            starts = _offsets(admin, all_of_them, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            ends = _offsets(admin, all_of_them, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except (KafkaException, TimeoutError) as error:
            raise StreamUnavailable(f"the brokers did not tell the lag of {topic}: {error}") from error
        return {
            number: PartitionLog(starts[number], ends[number], None if offset < 0 else offset)
            for number, offset in committed.items()
        }

    def published_at(self, positions: Mapping[int, int]) -> tuple[dict[int, datetime], frozenset[str]]:
        """Return when the broker got the first message at or after each position, one read from each.

        Blocks for two seconds at most. Partitions that did not answer by then are left out, and so are
        those whose message has a time that cannot be. Beside them is why: what the brokers said against
        reading, each of it once for each client, as librdkafka repeats nothing, and such times. Raises
        StreamUnavailable.
        """
        if not positions:
            return {}, frozenset()
        _, consumer = self._clients()
        found: dict[int, datetime | None] = {}
        said: set[str] = set()
        deadline = time.monotonic() + _READING_SECONDS
        try:
            consumer.assign([TopicPartition(self._settings.topic, p, at) for p, at in positions.items()])
            try:
                while len(found) < len(positions) and (left := deadline - time.monotonic()) > 0:
                    message = consumer.poll(left)
                    if message is None:
                        continue
                    if (error := message.error()) is not None:
                        said.add(error.str())
                        continue
                    partition = message.partition()
                    if partition is not None and partition not in found:
                        found[partition] = time_told(*message.timestamp())
                        if found[partition] is None:
                            said.add(f"the time of a message cannot be: {message.timestamp()[1]} ms")
                        # No more of it, and what was fetched is thrown away.
                        consumer.incremental_unassign([TopicPartition(self._settings.topic, partition)])
            finally:
                consumer.unassign()
        except KafkaException as error:
            raise StreamUnavailable(f"the first unread messages cannot be read: {error}") from error
        return {partition: at for partition, at in found.items() if at is not None}, frozenset(said)

    def close(self) -> None:
        """Let go of the connections, so that the next question makes new ones; idempotent."""
        consumer, self._consumer, self._admin = self._consumer, None, None
        if consumer is not None:
            consumer.close()

    def _clients(self) -> tuple[AdminClient, Consumer]:
        if self._admin is None or self._consumer is None:
            connection = self._settings.client_config()
            try:
                self._admin = AdminClient({**connection, "log_level": 2})
                # The group's name is needed to ask for its positions; this never joins it.
                self._consumer = Consumer({**_CONFIG, **connection, "group.id": self._settings.group})
            except KafkaException as error:
                raise StreamUnavailable(f"no client can be made: {error}") from error
        return self._admin, self._consumer


def time_told(kind: int, milliseconds: int) -> datetime | None:
    """Return the time that a message carries, given its kind and Unix milliseconds; None where it is none.

    Whoever writes a message may say any 64 bits. One from before 1970 is a defect of its writer: read as
    an age, it would call for consumers that cannot help.
    """
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _offsets(admin: AdminClient, partitions: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
    asked = admin.list_offsets(dict.fromkeys(partitions, which), request_timeout=_TIMEOUT_SECONDS)
    return {
        where.partition: int(future.result(_TIMEOUT_SECONDS + 1).offset) for where, future in asked.items()
    }
