"""Messages that can never become points: kept whole, forwarded to a topic, replayed on request.

The consumer keeps a letter in the transaction that passes its message; the relay forwards letters
and publishes those asked for again.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
from psycopg2.extras import execute_values

from marketdata.domain.dead_letter import DeadLetter
from marketdata.storage.engine import transaction
from marketdata.storage.storable import storable

COLUMNS = 'id, event_id, topic, "partition", "offset", key, value, headers, reason, detail, created_at'
# A statement is built in memory and has each byte of a letter twice or more.
_AT_ONCE = 100
_BYTES_AT_ONCE = 4 * 2**20


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter and its id."""

    id: UUID
    letter: DeadLetter
    created_at: datetime


def insert(cursor: Cursor, account: str, letters: Sequence[tuple[UUID, DeadLetter]]) -> None:
    """Keep `letters` under the ids given, in the caller's transaction; those kept already stay."""
    for page in _pages(letters):
        _insert(cursor, account, page)


def _pages(letters: Sequence[tuple[UUID, DeadLetter]]) -> Iterator[Sequence[tuple[UUID, DeadLetter]]]:
    page: list[tuple[UUID, DeadLetter]] = []
    size = 0
    for each in letters:
        if page and (len(page) == _AT_ONCE or size + each[1].size > _BYTES_AT_ONCE):
            yield page
            page, size = [], 0
        page.append(each)
        size += each[1].size
    if page:
        yield page


def _insert(cursor: Cursor, account: str, letters: Sequence[tuple[UUID, DeadLetter]]) -> None:
    execute_values(
        cursor,
        """
        insert into dead_letters (id, event_id, account, topic, "partition", "offset", key, value,
                                  headers, digest, reason, detail)
        values %s
        on conflict (account, "partition", "offset", digest) do nothing
        """,
        [
            (
                identifier,
                letter.event_id,
                account,
                letter.topic,
                letter.partition,
                letter.offset,
                letter.key,
                letter.value,
                _pack(letter.headers),
                letter.digest,
                letter.reason,
                storable(letter.detail),
            )
            for identifier, letter in letters
        ],
        template="(%s, %s::uuid, %s, %s, %s, %s, %s::bytea, %s::bytea, %s::jsonb, %s, %s, %s)",
        page_size=len(letters),
    )


class PostgresDeadLetters:
    """The replay command's view of `dead_letters`; the relay has its own. Raises StoreUnavailable."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def request_replay(self, *, identifiers: Sequence[UUID] | None = None, reason: str | None = None) -> int:
        """Ask for letters to be published again: by id, by reason, or all; return how many.

        A letter asked for and not yet replayed is not asked for twice. One that was replayed is asked
        for again by its id only: a message refused again is a letter of its own, and asking for old
        and new alike would double them at each call.
        """
        with transaction(self._engine) as connection:
            return connection.execute(
                sa.text(
                    """
                    update dead_letters set replay_requested_at = now(), replayed_at = null
                    where (replay_requested_at is null
                           or (replayed_at is not null and cast(:identifiers as uuid[]) is not null))
                      and (cast(:identifiers as uuid[]) is null or id = any(cast(:identifiers as uuid[])))
                      and (cast(:reason as text) is null or reason = :reason)
                    """
                ),
                {"identifiers": None if identifiers is None else list(identifiers), "reason": reason},
            ).rowcount


def stored_letter(row: sa.Row[Any]) -> StoredLetter:
    """Return the letter of one row of COLUMNS."""
    return StoredLetter(
        row.id,
        DeadLetter(
            event_id=row.event_id,
            topic=row.topic,
            partition=row.partition,
            offset=row.offset,
            key=None if row.key is None else bytes(row.key),
            value=None if row.value is None else bytes(row.value),
            headers=_unpack(row.headers),
            reason=row.reason,
            detail=row.detail,
        ),
        row.created_at,
    )


def _pack(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Return headers as JSON: a list of [name, base64 of the value or null], order and repeats kept."""
    return json.dumps(
        [
            [storable(name), None if value is None else base64.b64encode(value).decode()]
            for name, value in headers
        ]
    )


def _unpack(packed: Sequence[tuple[str, str | None]]) -> list[tuple[str, bytes | None]]:
    return [(name, None if value is None else base64.b64decode(value)) for name, value in packed]
