"""Keeping dead letters: whole, once, and many at a time."""

from contextlib import closing

from marketdata.clock import SystemClock
from marketdata.domain.dead_letter import DeadLetter
from marketdata.identifiers import uuid7
from marketdata.storage import dead_letters
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from support.servers import Database

the_time = SystemClock().now


def a_letter(offset: int) -> DeadLetter:
    return DeadLetter(
        event_id=uuid7(the_time()) if offset % 2 else None,
        topic="price-events",
        partition=0,
        offset=offset,
        key=None if offset % 3 else b"k\0%",
        value=None if offset % 5 else b"v\0%s",
        headers=[("a", b"\0"), ("a", None)],
        reason="poison_message",
        detail="100% broken",
    )


def test_many_letters_are_kept_whole_and_once(database: Database) -> None:
    letters = [a_letter(offset) for offset in range(250)]
    for _ in range(2):
        with database.engine.begin() as connection, closing(connection.connection.cursor()) as cursor:
            dead_letters.insert(
                cursor,  # type: ignore[arg-type]  # SQLAlchemy types it as any driver's
                "cluster",
                [(uuid7(the_time()), letter) for letter in [*letters, letters[0]]],
            )
    with PostgresDeadLetterRelay(database.engine).unforwarded(1000) as batch:
        kept = batch.letters

    assert sorted((stored.letter for stored in kept), key=lambda letter: letter.offset) == letters
