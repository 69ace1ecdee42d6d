"""Provider answers as received.

Promises: the bytes come back as they went in; an answer that retention has dropped is told apart
from one that never was. Writing is part of recording an outcome (`outcomes`), so this module only
lends it the statement.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.answer import RawResponse
from marketdata.identifiers import lower_bound
from marketdata.storage.engine import transaction
from marketdata.storage.storable import storable

# An answer whose commit was lost on the way is written again under the same id.
_INSERT = sa.text("""
    insert into raw_market_data (id, provider, url, status, headers, body, symbols, fetched_at, fenced)
    values (:id, :provider, :url, :status, :headers, :body, :symbols, :fetched_at, :fenced)
    on conflict (id) do nothing
""").bindparams(sa.bindparam("headers", type_=sa.JSON))

_COLUMNS = "id, provider, url, status, headers, body, symbols, fetched_at"

_GET = sa.text(f"select {_COLUMNS} from raw_market_data where id = :id")

_FIND = sa.text(f"""
    select {_COLUMNS} from raw_market_data
    where provider = :provider and id >= :first and id < :last and id > :after
      and symbols && cast(:symbols as text[])
    order by id limit :limit
""")

_PAGE = 1000


class PostgresRawArchive:
    """Reads `raw_market_data`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, raw_response_id: UUID) -> RawResponse | None:
        """Return the answer, or None where it is not there (any more: see `dropped_before`)."""
        with transaction(self._engine) as connection:
            row = connection.execute(_GET, {"id": raw_response_id}).one_or_none()
        return _raw(row) if row else None

    def dropped_before(self) -> datetime | None:
        """Return the instant before which answers were dropped, or None where none ever was."""
        with transaction(self._engine) as connection:
            dropped: datetime | None = connection.scalar(
                sa.text("select dropped_before from retention where relation = 'raw_market_data'")
            )
        return dropped

    def find(
        self, provider: str, symbols: Sequence[str], start: datetime, end: datetime, limit: int
    ) -> Iterator[RawResponse]:
        """Yield at most `limit` answers of `provider` about any of `symbols`, oldest first.

        `start` ≤ fetched_at < `end`, to the millisecond. Reads page by page: memory holds one page
        of at most a thousand answers.
        """
        after = UUID(int=0)
        left = limit
        while left > 0:
            with transaction(self._engine) as connection:
                rows = connection.execute(
                    _FIND,
                    {
                        "provider": provider,
                        "symbols": list(symbols),
                        "first": lower_bound(start),
                        "last": lower_bound(end),
                        "after": after,
                        "limit": min(_PAGE, left),
                    },
                ).all()
            yield from map(_raw, rows)
            if len(rows) < min(_PAGE, left):
                return
            after = rows[-1].id
            left -= len(rows)


def insert(connection: sa.Connection, raws: Sequence[RawResponse], *, unfenced: Collection[UUID]) -> None:
    """Store `raws` in the caller's transaction; those not in `unfenced` came under a lost lease."""
    for raw in raws:
        connection.execute(
            _INSERT,
            {
                "id": raw.raw_response_id,
                "provider": raw.provider,
                "url": storable(raw.url),
                "status": raw.status,
                "headers": {storable(name): storable(text) for name, text in raw.headers.items()},
                "body": raw.body,
                "symbols": list(raw.symbols),
                "fetched_at": raw.fetched_at,
                "fenced": raw.raw_response_id not in unfenced,
            },
        )


def _raw(row: sa.Row[Any]) -> RawResponse:
    return RawResponse(
        raw_response_id=row.id,
        provider=row.provider,
        url=row.url,
        status=row.status,
        headers=dict(row.headers),
        body=bytes(row.body),
        symbols=tuple(row.symbols),
        fetched_at=row.fetched_at,
    )
