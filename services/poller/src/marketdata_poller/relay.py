"""Publishing what is committed: events from the outbox.

Promises: an event is marked only with the broker's own confirmation; a broker that is away holds
no transaction open and no event in memory, the outbox just grows; relays never hold the same row.
Publishing twice is possible at each `died here` and removed by consumers.
"""

from collections.abc import Mapping, Sequence

from marketdata.clock import Clock
from marketdata.domain.publication import Coordinates
from marketdata.identifiers import time_of
from marketdata.messages import topics
from marketdata.steps import StepObserver
from marketdata.storage.outbox import OutboxEvent, PostgresOutbox
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata.telemetry import logs
from marketdata.telemetry.traces import NO_TRACES, Span, Traces, distinct, within
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.ports import EventPublisher
from marketdata_poller.steps import RelayStep

_log = logs.get("relay")


class Relay:
    """Moves batches; used by one thread."""

    def __init__(
        self,
        *,
        outbox: PostgresOutbox,
        publisher: EventPublisher,
        topic: str,
        batch_size: int,
        clock: Clock,
        measures: RelayMeasures,
        on_step: StepObserver,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._topic = topic
        self._batch_size = batch_size
        self._clock = clock
        self._measures = measures
        self._on_step = on_step
        self._traces = traces
        self._entered: set[str] = set()

    def turn(self) -> bool:
        """Publish one batch; return whether there is more to do now.

        Raises StreamUnavailable before anything is claimed, StoreUnavailable.
        """
        return self._outbox.has_unpublished() and self._publish_events()

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


def _fail_undelivered(
    events: Sequence[OutboxEvent], deliveries: Sequence[Delivery], spans: Mapping[str, Span]
) -> None:
    for event, place in zip(events, deliveries, strict=True):
        span = spans.get(event.traceparent or "")
        if span is not None and isinstance(place, Undelivered):
            span.fail("undelivered")


def _tell_undelivered(deliveries: Sequence[Delivery]) -> None:
    reasons = {each.reason for each in deliveries if isinstance(each, Undelivered)}
    if reasons:
        _log.warning("messages were not confirmed and will be sent again", reasons=sorted(reasons))
