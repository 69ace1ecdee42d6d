"""Dead letters to keep, and what waits for the relay in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.publication import Coordinates
from marketdata.identifiers import uuid7
from marketdata.storage import dead_letters
from marketdata.storage.dead_letters import StoredLetter

_now = SystemClock().now


def a_letter(
    offset: int = 0,
    *,
    key: bytes | None = b"synthetic:AAPL",
    value: bytes | None = b"{",
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> DeadLetter:
    return DeadLetter(
        event_id=None,
        topic="price-events",
        partition=0,
        offset=offset,
        key=key,
        value=value,
        headers=list(headers),
        reason="poison_message",
        detail="broken",
    )


def keep(engine: sa.Engine, letters: Sequence[DeadLetter]) -> list[UUID]:
    """Keep letters as the consumer does; return their ids, which are in their order."""
    ids = sorted(uuid7(_now()) for _ in letters)
    with engine.begin() as connection, closing(connection.connection.cursor()) as cursor:
        dead_letters.insert(
            cursor,  # type: ignore[arg-type]  # SQLAlchemy types it as any driver's
            "cluster",
            list(zip(ids, letters, strict=True)),
        )
    return ids


class MemoryLetterBatch:
    """Some letters; what is marked counts once the batch ends well."""

    def __init__(self, letters: tuple[StoredLetter, ...]) -> None:
        self.letters = letters
        self.forwarded: list[UUID] = []
        self.replayed: list[UUID] = []
        self.given_up: list[UUID] = []

    def mark_forwarded(self, ids: Sequence[UUID]) -> None:
        self.forwarded += ids

    def mark_replayed(self, sent: Sequence[tuple[StoredLetter, Coordinates]]) -> None:
        self.replayed += [stored.id for stored, _ in sent]

    def give_up(self, ids: Sequence[UUID]) -> None:
        self.given_up += ids


class MemoryLetters:
    """Keeps letters and what waits of them; one relay at a time."""

    def __init__(self) -> None:
        self.kept: list[StoredLetter] = []
        self.unforwarded_ids: set[UUID] = set()
        self.requested_ids: set[UUID] = set()

    def keep(self, letters: Sequence[DeadLetter]) -> list[UUID]:
        first = len(self.kept) + 1
        stored = [
            StoredLetter(UUID(int=first + at), letter, datetime(2026, 1, 1, tzinfo=UTC))
            for at, letter in enumerate(letters)
        ]
        self.kept += stored
        ids = [each.id for each in stored]
        self.unforwarded_ids |= set(ids)
        return ids

    def request_replay(self, ids: Sequence[UUID]) -> None:
        self.requested_ids |= set(ids)

    def has_waiting(self, *, after: UUID) -> bool:
        return bool(self.requested_ids) or any(each > after for each in self.unforwarded_ids)

    @contextmanager
    def unforwarded(self, limit: int, *, after: UUID) -> Iterator[MemoryLetterBatch]:
        with self._claimed(lambda each: each in self.unforwarded_ids and each > after, limit) as batch:
            yield batch

    @contextmanager
    def requested(self, limit: int) -> Iterator[MemoryLetterBatch]:
        with self._claimed(lambda each: each in self.requested_ids, limit) as batch:
            yield batch

    @contextmanager
    def _claimed(self, waits: Callable[[UUID], bool], limit: int) -> Iterator[MemoryLetterBatch]:
        batch = MemoryLetterBatch(tuple([each for each in self.kept if waits(each.id)][:limit]))
        yield batch
        self.unforwarded_ids -= set(batch.forwarded)
        self.requested_ids -= {*batch.replayed, *batch.given_up}
