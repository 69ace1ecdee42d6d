"""What waits for the relay, be it kept in PostgreSQL or in memory."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from uuid import UUID

import pytest

from marketdata.domain.dead_letter import DeadLetter
from marketdata.domain.publication import Coordinates
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import PostgresDeadLetters
from marketdata_poller.letters import Letters
from support.letters import MemoryLetters, a_letter, keep
from support.servers import Database

FIRST = UUID(int=0)


class Table(Protocol):
    """Letters, with the other sides of the table."""

    @property
    def relay(self) -> Letters: ...
    def keep(self, letters: Sequence[DeadLetter]) -> list[UUID]: ...
    def request_replay(self, ids: Sequence[UUID]) -> object: ...


class MemoryTable(MemoryLetters):
    @property
    def relay(self) -> Letters:
        return self


class PostgresTable:
    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self.relay: Letters = PostgresDeadLetterRelay(database.engine)

    def keep(self, letters: Sequence[DeadLetter]) -> list[UUID]:
        return keep(self._engine, letters)

    def request_replay(self, ids: Sequence[UUID]) -> object:
        return PostgresDeadLetters(self._engine).request_replay(identifiers=ids)


@pytest.fixture(params=["memory", "postgres"])
def table(request: pytest.FixtureRequest, database: Database) -> Table:
    return MemoryTable() if request.param == "memory" else PostgresTable(database)


def test_the_oldest_come_first_and_those_behind_an_id_are_told_apart(table: Table) -> None:
    assert not table.relay.has_waiting(after=FIRST)
    ids = table.keep([a_letter(offset) for offset in range(4)])

    with table.relay.unforwarded(2, after=FIRST) as batch:
        assert [stored.id for stored in batch.letters] == ids[:2]
        assert [stored.letter.offset for stored in batch.letters] == [0, 1]
    with table.relay.unforwarded(9, after=ids[1]) as batch:
        assert [stored.id for stored in batch.letters] == ids[2:]
    assert table.relay.has_waiting(after=ids[2])
    assert not table.relay.has_waiting(after=ids[3])


def test_what_is_marked_forwarded_waits_no_more(table: Table) -> None:
    first, second = table.keep([a_letter(0), a_letter(1)])

    with table.relay.unforwarded(9, after=FIRST) as batch:
        batch.mark_forwarded([first])

    with table.relay.unforwarded(9, after=FIRST) as batch:
        assert [stored.id for stored in batch.letters] == [second]


def test_what_is_marked_in_a_batch_that_fails_still_waits(table: Table) -> None:
    (only,) = table.keep([a_letter()])

    with suppress(ZeroDivisionError), table.relay.unforwarded(9, after=FIRST) as batch:
        batch.mark_forwarded([only])
        raise ZeroDivisionError

    assert table.relay.has_waiting(after=FIRST)


def test_a_replay_waits_until_it_is_marked_or_given_up_wherever_the_forwarding_is(table: Table) -> None:
    first, second, third = table.keep([a_letter(offset) for offset in range(3)])
    table.request_replay([first, third])
    assert table.relay.has_waiting(after=third)

    with table.relay.requested(9) as batch:
        assert [stored.id for stored in batch.letters] == [first, third]
        batch.mark_replayed([(batch.letters[0], Coordinates("cluster", 0, 5))])
        batch.give_up([third])

    assert not table.relay.has_waiting(after=third)
    with table.relay.unforwarded(9, after=FIRST) as batch:
        assert [stored.id for stored in batch.letters] == [first, second, third]
