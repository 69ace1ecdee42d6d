"""Which traceparent an event goes out with, and how the span of its publishing ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import cast
from uuid import UUID

from marketdata.clock import SystemClock
from marketdata.domain.publication import Coordinates
from marketdata.steps import unobserved
from marketdata.storage.outbox import OutboxEvent, PostgresOutbox
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata.telemetry.traces import MAX_LINKS, NO_TRACES, Kind, Span, Traces, Unrecorded
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.relay import Relay


def place(number: int, *, sampled: bool = True) -> str:
    return f"00-{number:032x}-{number:016x}-0{int(sampled)}"


def an_event(number: int, traceparent: str | None) -> OutboxEvent:
    return OutboxEvent(UUID(int=number), "synthetic", f"S{number}", b"{}", traceparent)


class Outbox:
    """Events that wait, until they are marked."""

    def __init__(self, events: Sequence[OutboxEvent]) -> None:
        self.events = events
        self.marked: list[UUID] = []

    def has_unpublished(self) -> bool:
        return True

    def enter_account(self, account: str, topic: str) -> None: ...

    @contextmanager
    def claimed(self, limit: int) -> Iterator["Outbox"]:
        assert limit
        yield self

    def mark_published(self, sent: Sequence[tuple[UUID, Coordinates]]) -> None:
        self.marked += [event_id for event_id, _ in sent]


class NoCounts:
    def published(self, delivered: int, undelivered: int, seconds: float) -> None: ...

    def confirmed(self, fetched: Sequence[datetime], at: datetime) -> None: ...


class Broker:
    """Takes all messages but those of the symbols it refuses."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.taken: list[Outgoing] = []

    def account(self, topic: str) -> str:
        assert topic
        return "cluster"

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        self.taken += messages
        return [
            Undelivered("away", is_refused=False)
            if self.refuses and message.key.endswith(self.refuses.encode())
            else Coordinates(account, 0, offset)
            for offset, message in enumerate(messages)
        ]

    def close(self) -> None: ...

    def traceparents(self) -> list[str | None]:
        found = [dict(message.headers).get("traceparent") for message in self.taken]
        return [None if value is None else value.decode() for value in found]


class Kept(Unrecorded):
    """A span that remembers."""

    def __init__(self, parent: str) -> None:
        self.parent = parent
        self.traceparent = parent[:36] + "f" * 16 + parent[52:]
        self.trace_id = parent[3:35]
        self.ends: list[str | None] = []
        self._failure: str | None = None

    def fail(self, reason: str) -> None:
        self._failure = reason

    def end(self) -> None:
        self.ends.append(self._failure)


class MemoryTraces:
    """Traces that keep their spans."""

    on = True

    def __init__(self) -> None:
        self.spans: list[Kept] = []

    def begin(
        self, name: str, *, kind: Kind = "internal", parent: str | None = None, links: Sequence[str] = ()
    ) -> Span:
        assert (name, kind, list(links)) == ("publish", "producer", [])
        assert parent is not None
        self.spans.append(Kept(parent))
        return self.spans[-1]

    def close(self, *, within_seconds: float) -> None: ...


def relayed(events: Sequence[OutboxEvent], broker: Broker, traces: Traces) -> Outbox:
    outbox = Outbox(events)
    Relay(
        outbox=cast("PostgresOutbox", outbox),
        publisher=broker,
        topic="price-events",
        batch_size=1_000,
        clock=SystemClock(),
        measures=cast("RelayMeasures", NoCounts()),
        on_step=unobserved,
        traces=traces,
    ).turn()
    return outbox


def test_events_of_one_poll_share_one_span_and_go_out_under_it() -> None:
    broker, traces = Broker(), MemoryTraces()

    relayed([an_event(n, place(1 + n % 2)) for n in range(6)] + [an_event(9, None)], broker, traces)

    assert [span.parent for span in traces.spans] == [place(1), place(2)]
    first, second = (span.traceparent for span in traces.spans)
    assert broker.traceparents() == [first, second, first, second, first, second, None]
    assert [span.ends for span in traces.spans] == [[None], [None]]


def test_unsampled_polls_and_those_beyond_the_bound_go_out_as_they_are() -> None:
    broker, traces = Broker(), MemoryTraces()
    polls = [place(n) for n in range(1, MAX_LINKS + 3)]

    relayed([an_event(0, place(99, sampled=False)), *map(an_event, range(1, 99), polls)], broker, traces)

    assert len(traces.spans) == MAX_LINKS
    assert broker.traceparents()[0] == place(99, sampled=False)
    assert broker.traceparents()[-2:] == polls[-2:]


def test_off_an_event_s_traceparent_goes_out_untouched() -> None:
    broker = Broker()

    relayed([an_event(1, place(1)), an_event(2, None)], broker, NO_TRACES)

    assert broker.traceparents() == [place(1), None]


def test_what_was_not_delivered_fails_its_own_poll_s_span_only() -> None:
    broker, traces = Broker(refuses="S2"), MemoryTraces()

    outbox = relayed([an_event(n, place(n)) for n in (1, 2, 3)], broker, traces)

    assert outbox.marked == [UUID(int=1), UUID(int=3)]
    assert [span.ends for span in traces.spans] == [[None], ["undelivered"], [None]]
