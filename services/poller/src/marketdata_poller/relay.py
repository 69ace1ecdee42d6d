"""Publishing what is committed: events from the outbox, dead letters both ways.

Promises: an event is marked only with the broker's own confirmation; a broker that is away holds
no transaction open and no event in memory, the outbox just grows; relays never hold the same row.
Publishing twice is possible at each `died here` and removed by consumers.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from marketdata.clock import Clock
from marketdata.domain.publication import Coordinates
from marketdata.identifiers import time_of
from marketdata.messages import topics
from marketdata.steps import StepObserver
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import StoredLetter
from marketdata.storage.outbox import OutboxEvent, PostgresOutbox
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata.telemetry import logs
from marketdata.telemetry.traces import NO_TRACES, Span, Traces, distinct, within
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.steps import RelayStep

_log = logs.get("relay")

_LETTERS = 50  # of up to a megabyte each


class EventPublisher(Protocol):
    """A way to Kafka."""

    def account(self, topic: str) -> str:
        """Return the account of the topic's log, having heard from the broker just now.

        May block for seconds. Raises StreamUnavailable.
        """

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        """Publish and return, in order, where each message is or why it is not there.

        Blocks until every one is confirmed or given up, below the store's idle-transaction limit.
        Coordinates prove that all in-sync replicas have the message; their lack proves nothing.
        Not idempotent: what is given again is published again.
        """

    def close(self) -> None:
        """Let go of the connections; idempotent."""


class Relay:
    """Moves batches; used by one thread."""

    def __init__(
        self,
        *,
        outbox: PostgresOutbox,
        letters: PostgresDeadLetterRelay,
        publisher: EventPublisher,
        topic: str,
        dead_letter_topic: str,
        batch_size: int,
        clock: Clock,
        measures: RelayMeasures,
        on_step: StepObserver,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._outbox = outbox
        self._letters = letters
        self._publisher = publisher
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self._batch_size = batch_size
        self._clock = clock
        self._measures = measures
        self._on_step = on_step
        self._traces = traces
        self._entered: set[str] = set()

    def turn(self) -> bool:
        """Move one batch of each kind; return whether there is more to do now.

        Raises StreamUnavailable before anything is claimed, StoreUnavailable.
        """
        more = self._outbox.has_unpublished() and self._publish_events()
        if self._letters.has_waiting():
            more = self._forward() or more
            more = self._replay() or more
        return more

    def _publish_events(self) -> bool:
        # 1. Ask the broker which log this is, so that nothing is claimed while it is away.
        account = self._publisher.account(self._topic)
        if account not in self._entered:
            self._outbox.enter_account(account, self._topic)
            self._entered.add(account)
            # Died here: an account without events; whoever opens the next log closes it.
            self._on_step(RelayStep.ENTERED)
        # 2. Claim. Died here: the transaction ends with us and the rows are free again.
        with self._outbox.claimed(self._batch_size) as batch:
            if not batch.events:
                return False
            self._on_step(RelayStep.CLAIMED)
            started = self._clock.monotonic()
            spans = self._spans(batch.events)
            with within(*spans.values()):
                # 3. Publish. Died here: published and not marked, so published once more.
                deliveries = self._publisher.publish(
                    [self._message(event, spans) for event in batch.events], account=account
                )
                self._on_step(RelayStep.PUBLISHED)
                sent = [
                    (event.event_id, place)
                    for event, place in zip(batch.events, deliveries, strict=True)
                    if isinstance(place, Coordinates)
                ]
                if len(sent) < len(batch.events):
                    _fail_undelivered(batch.events, deliveries, spans)
                batch.mark_published(sent)
        # 4. Committed. Died here: done; the sweep does the rest.
        self._on_step(RelayStep.MARKED)
        self._measures.published(len(sent), len(batch.events) - len(sent), self._clock.monotonic() - started)
        # The id of an event carries the time of its answer.
        self._measures.confirmed([time_of(event_id) for event_id, _ in sent], self._clock.now())
        _tell_undelivered(deliveries)
        return len(sent) == self._batch_size

    def _spans(self, events: Sequence[OutboxEvent]) -> Mapping[str, Span]:
        """Return a span for each of some polls that the events are of, by the poll's traceparent.

        The events of polls beyond that bound carry their poll's own traceparent on.
        """
        if not self._traces.on:
            return {}
        spans = {
            parent: self._traces.begin("publish", kind="producer", parent=parent)
            for parent in distinct(event.traceparent for event in events)
        }
        for span in spans.values():
            span.tell(batch=len(events))
        return spans

    def _message(self, event: OutboxEvent, spans: Mapping[str, Span]) -> Outgoing:
        headers: list[tuple[str, bytes | None]] = [(topics.HEADER_EVENT_ID, str(event.event_id).encode())]
        if event.traceparent:
            span = spans.get(event.traceparent)
            traceparent = (span.traceparent if span else None) or event.traceparent
            headers.append((topics.HEADER_TRACEPARENT, traceparent.encode()))
        return Outgoing(self._topic, topics.event_key(event.provider, event.symbol), event.payload, headers)

    def _forward(self) -> bool:
        account = self._publisher.account(self._dead_letter_topic)
        with self._letters.unforwarded(_LETTERS) as batch:
            if not batch.letters:
                return False
            messages = [self._forwarded(letter) for letter in batch.letters]
            sent = self._send_shortened(batch.letters, messages, account=account)
            # Died here: forwarded and not marked, so forwarded once more, under the same dlq_id.
            self._on_step(RelayStep.FORWARDED)
            batch.mark_forwarded([letter.id for letter, _ in sent])
        self._on_step(RelayStep.FORWARD_MARKED)
        self._measures.letters("forwarded", len(sent))
        return len(sent) == _LETTERS

    def _replay(self) -> bool:
        account = self._publisher.account(self._topic)
        with self._letters.requested(_LETTERS) as batch:
            if not batch.letters:
                return False
            messages = [self._original(letter) for letter in batch.letters]
            # Never shortened: a message without its value is another message, and no replay.
            deliveries = self._publisher.publish(messages, account=account)
            # Died here: published and not marked, so replayed once more.
            self._on_step(RelayStep.REPLAYED)
            sent = _confirmed(batch.letters, deliveries)
            batch.mark_replayed(sent)
            too_large = [
                letter.id
                for letter, found in zip(batch.letters, deliveries, strict=True)
                if isinstance(found, Undelivered) and found.is_too_large
            ]
            if too_large:  # trying again would be for ever, and hold up those behind
                batch.give_up(too_large)
                _log.error("dead letters are too large to be replayed", ids=[str(each) for each in too_large])
        _tell_undelivered(deliveries)
        self._on_step(RelayStep.REPLAY_MARKED)
        self._measures.letters("replayed", len(sent))
        return len(sent) == _LETTERS

    def _send_shortened(
        self, letters: Sequence[StoredLetter], messages: Sequence[Outgoing], *, account: str
    ) -> list[tuple[StoredLetter, Coordinates]]:
        deliveries = self._publisher.publish(messages, account=account)
        for index, found in enumerate(deliveries):
            if isinstance(found, Undelivered) and found.is_too_large:
                # Headers may lift a message over the limit; people still have it in the table.
                bare = Outgoing(messages[index].topic, messages[index].key, None, messages[index].headers)
                deliveries[index] = self._publisher.publish([bare], account=account)[0]
        _tell_undelivered(deliveries)
        return _confirmed(letters, deliveries)

    def _original(self, stored: StoredLetter) -> Outgoing:
        letter = stored.letter
        return Outgoing(self._topic, letter.key, letter.value, letter.headers)

    def _forwarded(self, stored: StoredLetter) -> Outgoing:
        letter = stored.letter
        marks = (
            (topics.HEADER_DLQ_REASON, letter.reason),
            (topics.HEADER_DLQ_TOPIC, letter.topic),
            (topics.HEADER_DLQ_PARTITION, str(letter.partition)),
            (topics.HEADER_DLQ_OFFSET, str(letter.offset)),
            (topics.HEADER_DLQ_ID, str(stored.id)),
        )
        headers = [*letter.headers, *((name, text.encode()) for name, text in marks)]
        return Outgoing(self._dead_letter_topic, letter.key, letter.value, headers)


def _fail_undelivered(
    events: Sequence[OutboxEvent], deliveries: Sequence[Delivery], spans: Mapping[str, Span]
) -> None:
    for event, place in zip(events, deliveries, strict=True):
        span = spans.get(event.traceparent or "")
        if span is not None and isinstance(place, Undelivered):
            span.fail("undelivered")


def _confirmed(
    letters: Sequence[StoredLetter], deliveries: Sequence[Delivery]
) -> list[tuple[StoredLetter, Coordinates]]:
    return [
        (letter, place)
        for letter, place in zip(letters, deliveries, strict=True)
        if isinstance(place, Coordinates)
    ]


def _tell_undelivered(deliveries: Sequence[Delivery]) -> None:
    reasons = {each.reason for each in deliveries if isinstance(each, Undelivered)}
    if reasons:
        _log.warning("messages were not confirmed and will be sent again", reasons=sorted(reasons))
