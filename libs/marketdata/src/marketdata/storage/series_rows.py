"""`latest_prices`: the newest point of each series, and the row that serializes its writers."""

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from marketdata.domain.price import PricePoint
from marketdata.domain.series import Series, SeriesState
from marketdata.storage.literals import array
from marketdata.storage.series_memory import SeriesMemory, Version

POINT_COLUMNS = """provider, symbol, observed_at, price, currency, fetched_at, raw_response_id,
    market_state, delayed_by, interval_seconds"""

# Rows that are missing are made before any is locked: then every writer takes first the new and
# then the known ones, each in key order, and two cannot wait for each other.
_INSERT_MISSING = """
    insert into latest_prices (provider, symbol)
    select k.provider, k.symbol from unnest(%s::text[], %s::text[]) as k(provider, symbol)
    where not exists (select from latest_prices l where l.provider = k.provider and l.symbol = k.symbol)
    order by k.provider, k.symbol
    on conflict do nothing
"""
# The version of each row, and the one this transaction gives to what it writes.
_LOCK = """
    select l.provider, l.symbol, l.xmin::text, l.stored_at::text,
        pg_current_xact_id()::xid::text, now()::text
    from latest_prices l
    join unnest(%s::text[], %s::text[]) as k(provider, symbol) using (provider, symbol)
    order by l.provider, l.symbol for update of l
"""
_READ = f"""
    select {POINT_COLUMNS}, recent_times::timestamptz[], recent_prices::numeric[] from latest_prices l
    join unnest(%s::text[], %s::text[]) as k(provider, symbol) using (provider, symbol)
    where observed_at is not null
"""
_UPDATE = """
    update latest_prices l
    set observed_at = s.observed_at, price = s.price, currency = s.currency, fetched_at = s.fetched_at,
        raw_response_id = s.raw_response_id, market_state = s.market_state, delayed_by = s.delayed_by,
        interval_seconds = s.interval_seconds, recent_times = s.recent_times,
        recent_prices = s.recent_prices, stored_at = now()
    from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::numeric[], %s::text[], %s::timestamptz[],
                %s::uuid[], %s::text[], %s::integer[], %s::integer[], %s::text[], %s::text[])
        as s(provider, symbol, observed_at, price, currency, fetched_at, raw_response_id, market_state,
             delayed_by, interval_seconds, recent_times, recent_prices)
    where l.provider = s.provider and l.symbol = s.symbol
"""


def lock(
    cursor: Cursor, series: Sequence[Series], memory: SeriesMemory
) -> tuple[dict[Series, SeriesState], Version]:
    """Lock the rows of `series` in key order, missing ones made; read those that `memory` cannot tell.

    Returns the states of those with points, and the version that this transaction's rows will have.
    """
    keys = _keys(series)
    if not memory.knows_all(series):
        cursor.execute(_INSERT_MISSING, keys)
    cursor.execute(_LOCK, keys)
    rows = cursor.fetchall()
    if len(rows) < len(series):  # rows that were known are gone: the table was emptied
        cursor.execute(_INSERT_MISSING, keys)
        cursor.execute(_LOCK, keys)
        rows = cursor.fetchall()
    states: dict[Series, SeriesState] = {}
    unknown: list[Series] = []
    for provider, symbol, xmin, stored_at, _, _ in rows:
        state = memory.recall((provider, symbol), (xmin, stored_at))
        if state is None:
            unknown.append((provider, symbol))
        else:
            states[provider, symbol] = state
    if unknown:
        cursor.execute(_READ, _keys(unknown))
        for row in cursor:
            states[row[0], row[1]] = SeriesState(PricePoint(*row[:10]), row[10], row[11])
    return states, rows[-1][4:]


def write(cursor: Cursor, states: Sequence[SeriesState]) -> None:
    """Overwrite the rows of `states`, locked before, stored_at included."""
    points = [state.newest for state in states]
    cursor.execute(
        _UPDATE,
        (
            array([p.provider for p in points]),
            array([p.symbol for p in points]),
            array([p.observed_at for p in points]),
            array([p.price for p in points]),
            array([p.currency for p in points]),
            array([p.fetched_at for p in points]),
            array([p.raw_response_id for p in points]),
            array([p.market_state for p in points]),
            array([p.delayed_by_seconds for p in points]),
            array([p.interval_seconds for p in points]),
            array([array(state.times) for state in states]),
            array([array(state.prices) for state in states]),
        ),
    )


def _keys(series: Sequence[Series]) -> tuple[str, str]:
    return array([provider for provider, _ in series]), array([symbol for _, symbol in series])
