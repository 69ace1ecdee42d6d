"""What the relay does with a dead letter that is too large for the broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from marketdata.clock import SystemClock
from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.publication import Coordinates
from marketdata.steps import unobserved
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import StoredLetter
from marketdata.storage.outbox import PostgresOutbox
from marketdata.streaming.producer import Delivery, Outgoing, Undelivered
from marketdata_poller.measures import RelayMeasures
from marketdata_poller.relay import Relay

LETTER = StoredLetter(
    UUID(int=1),
    DeadLetter(
        event_id=None,
        topic="price-events",
        partition=0,
        offset=0,
        key=b"k",
        value=b"large",
        headers=[],
        reason="poison_message",
        detail="broken",
    ),
    datetime(2026, 1, 1, tzinfo=UTC),
)


class EmptyOutbox:
    def has_unpublished(self) -> bool:
        return False


class MemoryLetters:
    """One letter that waits both to be forwarded and to be replayed."""

    def __init__(self) -> None:
        self.letters = (LETTER,)
        self.forwarded: list[UUID] = []
        self.replayed: list[UUID] = []
        self.given_up: list[UUID] = []

    def has_waiting(self) -> bool:
        return True

    @contextmanager
    def unforwarded(self, limit: int) -> Iterator["MemoryLetters"]:
        assert limit
        yield self

    requested = unforwarded

    def mark_forwarded(self, ids: Sequence[UUID]) -> None:
        self.forwarded.extend(ids)

    def mark_replayed(self, sent: Sequence[tuple[StoredLetter, Coordinates]]) -> None:
        self.replayed.extend(stored.id for stored, _ in sent)

    def give_up(self, ids: Sequence[UUID]) -> None:
        self.given_up.extend(ids)


class StrictBroker:
    """Takes only messages without a value."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []

    def account(self, topic: str) -> str:
        assert topic
        return "cluster"

    def publish(self, messages: Sequence[Outgoing], *, account: str) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for message in messages:
            if message.value is None:
                self.taken.append(message)
                deliveries.append(Coordinates(account, 0, len(self.taken)))
            else:
                deliveries.append(Undelivered("too large", is_too_large=True))
        return deliveries

    def close(self) -> None:
        pass


class Counts:
    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def letters(self, direction: str, count: int) -> None:
        self.found[direction] = count


def test_a_letter_too_large_is_forwarded_without_its_value_and_its_replay_is_given_up() -> None:
    letters, broker = MemoryLetters(), StrictBroker()
    relay = Relay(
        outbox=cast("PostgresOutbox", EmptyOutbox()),
        letters=cast("PostgresDeadLetterRelay", letters),
        publisher=broker,
        topic="price-events",
        dead_letter_topic="dead-letters",
        batch_size=10,
        clock=SystemClock(),
        measures=cast("RelayMeasures", Counts()),
        on_step=unobserved,
    )
    relay.turn()

    assert [message.topic for message in broker.taken] == ["dead-letters"]
    assert (letters.forwarded, letters.replayed) == ([LETTER.id], [])
    assert letters.given_up == [LETTER.id]
