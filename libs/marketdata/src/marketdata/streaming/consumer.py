"""The topic as a member of a consumer group, with positions kept elsewhere.

The group only says which partitions are ours. It is never asked where they stand: a partition is
assigned standing still, told its position and then let flow. What librdkafka would decide by itself
(reset a lost position, commit, store) is switched off.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from marketdata.errors import StreamUnavailable
from marketdata.settings import KafkaSettings
from marketdata.streaming.credentials import Credentials
from marketdata.telemetry import logs

_log = logs.get("streaming.consumer")

_OUTSIDE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001 - their constants
_ADMIN_TIMEOUT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0

_CONFIG: dict[str, Any] = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Bounded memory: one queue for all partitions, and about one answer of each broker in it.
    "queued.max.messages.kbytes": 16_384,
    "fetch.max.bytes": 8_388_608,
    # A broker is asked again when that queue is found empty, and it is looked at this often. The loop
    # empties it every 25 ms while a batch is written: one question for each glance, not one for each handful,
    # and the answer is there at the next.
    "queued.min.messages": 1,
    "fetch.queue.backoff.ms": 5,
    # One answer of the broker has room for every partition of the topic. With more of each, the full
    # queue goes to whichever asks first: under overload some stood 30 s behind the others.
    "max.partition.fetch.bytes": 262_144,
    "fetch.wait.max.ms": 100,
    "fetch.error.backoff.ms": 100,
    "reconnect.backoff.max.ms": 2_000,
    # A grown topic is noticed within seconds, not minutes.
    "topic.metadata.refresh.interval.ms": 5_000,
    "allow.auto.create.topics": True,
}
# With `consumer` (KIP-848) the session and the heartbeats are the brokers' to say, and librdkafka
# refuses a client that says them.
_CLASSIC: dict[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 2_000,
}


class KafkaEventStream:
    """One consumer of one topic.

    Used by one thread, but for the leaving that `close` begins; one that leaves may still be there beside
    its successor.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        client_id: str,
        on_revoked: Callable[[frozenset[int]], None] = lambda _: None,
    ) -> None:
        """Join the group in the background; `on_revoked` is called within `consume`, before they go.

        Raises StreamUnavailable where a password or certificates cannot be read now.
        """
        self._topic = settings.topic
        self._on_revoked = on_revoked
        self._credentials = Credentials(settings.client_config)
        connection = self._credentials.read()
        own = _CLASSIC if settings.group_protocol == "classic" else {}
        try:
            self._consumer = Consumer(
                {
                    **_CONFIG,
                    **own,
                    **connection,
                    "group.id": settings.group,
                    "group.protocol": settings.group_protocol,
                    "client.id": client_id,
                    "log_level": 2,  # what matters comes as an error of `consume`; the rest repeats itself
                }
            )
        except KafkaException as error:
            raise StreamUnavailable(f"no client can be made: {error}") from error
        self._assigned: set[int] = set()
        self._running: dict[int, int] = {}  # partition → the offset its next message is at or past
        self._outside: set[int] = set()
        self._closed = False
        self._consumer.subscribe(
            [self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def consume(self, limit: int, timeout: float) -> Mapping[int, Sequence[Message]]:
        """Return up to `limit` messages by partition in offset order, waiting up to `timeout` < 0.2 s.

        Waits for the first message only. Raises StreamUnavailable where librdkafka says that
        this client is beyond help and must be made anew.
        """
        try:
            messages = self._consumer.consume(limit, 0)
            if not messages and timeout > 0:
                messages = self._consumer.consume(1, timeout)
                if messages and limit > 1:
                    messages += self._consumer.consume(limit - 1, 0)
        except KafkaException as error:
            raise StreamUnavailable(f"consuming failed: {error}") from error
        if not messages:  # nothing to do, or nothing comes because the password is refused
            self._credentials.renew(self._consumer)
        taken: dict[int, list[Message]] = {}
        for message in messages:
            partition: int = message.partition()  # type: ignore[assignment]  # a consumed message has one
            position = self._running.get(partition)
            offset: int = message.offset()  # type: ignore[assignment]  # as above
            if (trouble := message.error()) is not None:
                self._note(trouble, partition)
            elif position is not None and offset >= position:
                self._running[partition] = offset + 1
                known = taken.get(partition)
                if known is None:
                    taken[partition] = [message]
                else:
                    known.append(message)
        return taken

    def assigned(self) -> frozenset[int]:
        """Return the partitions that are this member's now."""
        return frozenset(self._assigned)

    def outside(self) -> frozenset[int]:
        """Return the partitions whose position the broker said is outside the log; they flow no more."""
        return frozenset(self._outside)

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset there is and the next one to be written. Raises StreamUnavailable."""
        try:
            bounds = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=_ADMIN_TIMEOUT_SECONDS
            )
        except KafkaException as error:
            raise StreamUnavailable(f"the broker did not tell the bounds of {partition}: {error}") from error
        if bounds is None:
            raise StreamUnavailable(f"the broker did not tell the bounds of {partition} in time")
        low, high = bounds
        return int(low), int(high)

    def run(self, positions: Mapping[int, int]) -> frozenset[int]:
        """Let partitions flow from these positions; return those that took it.

        The others are not ready yet (librdkafka is still looking for their leader): ask again.
        """
        taken: set[int] = set()
        for partition, position in positions.items():
            if partition not in self._assigned:
                continue
            where = TopicPartition(self._topic, partition, position)
            try:
                self._consumer.pause([where])
                self._consumer.seek(where)
                self._running[partition] = position
                self._outside.discard(partition)
                self._consumer.resume([where])
            except KafkaException as error:
                self._running.pop(partition, None)
                _log.debug("seek_not_taken", partition=partition, error=str(error))
                continue
            taken.add(partition)
        return frozenset(taken)

    def halt(self, partitions: Iterable[int]) -> None:
        """Make partitions stand still, what was fetched of them thrown away. Idempotent."""
        for partition in partitions:
            self._running.pop(partition, None)
            self._outside.discard(partition)
            if partition in self._assigned:
                try:
                    self._consumer.pause([TopicPartition(self._topic, partition)])
                except KafkaException as error:
                    _log.debug("pause_not_taken", partition=partition, error=str(error))

    def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the group the positions, for lag tools; does not wait, and never raises."""
        offsets = [
            TopicPartition(self._topic, partition, position)
            for partition, position in positions.items()
            if partition in self._assigned
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.debug("commit_not_sent", error=str(error))

    def close(self) -> None:
        """Leave the group; idempotent. Blocks for up to 5 s.

        librdkafka waits for a coordinator that was killed for 46 s, and for one that does not answer
        longer than two minutes (both measured): with the batch in flight longer than a pod may take to end.
        So it is left waiting after that; the session of a member that could not say goodbye ends by itself.
        """
        if self._closed:
            return
        self._closed = True
        self._running.clear()
        leaving = threading.Thread(target=self._leave, name="leave", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_SECONDS)
        if leaving.is_alive():
            _log.warning("group_not_left", why="no answer", waited_seconds=_LEAVE_SECONDS)

    def _leave(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            _log.warning("group_not_left", why=str(error))

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            # A place that is always in the log, as a fetch may leave before the pause arrives: at an
            # offset that retention has deleted it would find the partition outside the log, and
            # librdkafka would never fetch it again. Nothing is taken from there.
            each.offset = OFFSET_END
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        self._assigned |= {each.partition for each in partitions}

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = frozenset(each.partition for each in partitions)
        if not self._closed:
            self._on_revoked(gone)
        self._assigned -= gone
        self._outside -= gone
        for partition in gone:
            self._running.pop(partition, None)
        consumer.incremental_unassign(partitions)

    def _note(self, error: KafkaError, partition: int | None) -> None:
        if error.fatal():
            raise StreamUnavailable(f"the client must be made anew: {error}")
        if error.code() in _OUTSIDE and partition in self._assigned:
            self._outside.add(partition)
        _log.info("stream_trouble", code=error.name(), partition=partition, error=error.str())
