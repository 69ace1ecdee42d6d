"""Stored points among which late, repeated and corrected ones are settled; all under series locks."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from marketdata.domain.average import WINDOW
from marketdata.domain.price import PricePoint
from marketdata.domain.series import AverageRow, Neighbours, Series, StoredPoint
from marketdata.storage.literals import array

_NEIGHBOURS = """
    select k.provider, k.symbol, p.observed_at, p.price, p.fetched_at, p.raw_response_id
    from unnest(%(providers)s::text[], %(symbols)s::text[], %(times)s::timestamptz[])
        as k(provider, symbol, at)
    cross join lateral (
        (select observed_at, price, fetched_at, raw_response_id from price_points
         where provider = k.provider and symbol = k.symbol and observed_at <= k.at
         order by observed_at desc limit %(window)s)
        union all
        (select observed_at, price, fetched_at, raw_response_id from price_points
         where provider = k.provider and symbol = k.symbol and observed_at > k.at
         order by observed_at limit %(window)s - 1)
    ) p
"""
_REPLACE = """
    update price_points p
    set price = n.price, currency = n.currency, raw_response_id = n.raw_response_id,
        fetched_at = n.fetched_at, stored_at = now()
    from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::numeric[], %s::text[], %s::uuid[],
                %s::timestamptz[])
        as n(provider, symbol, observed_at, price, currency, raw_response_id, fetched_at)
    where p.provider = n.provider and p.symbol = n.symbol and p.observed_at = n.observed_at
"""
_UPSERT_AVERAGES = """
    insert into symbol_averages (provider, symbol, observed_at, "window", moving_average, sample_size)
    select provider, symbol, observed_at, %s, moving_average, sample_size
    from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::numeric[], %s::integer[])
        as n(provider, symbol, observed_at, moving_average, sample_size)
    on conflict (provider, symbol, observed_at, "window") do update
    set moving_average = excluded.moving_average, sample_size = excluded.sample_size
"""


def neighbours(cursor: Cursor, questions: Mapping[Series, Sequence[datetime]]) -> dict[Series, Neighbours]:
    """Return around each instant the point there, WINDOW - 1 before and WINDOW - 1 after."""
    asked = [(provider, symbol, at) for (provider, symbol), times in questions.items() for at in times]
    cursor.execute(
        _NEIGHBOURS,
        {
            "providers": array([provider for provider, _, _ in asked]),
            "symbols": array([symbol for _, symbol, _ in asked]),
            "times": array([at for _, _, at in asked]),
            "window": WINDOW,
        },
    )
    found: dict[Series, dict[datetime, StoredPoint]] = {series: {} for series in questions}
    for provider, symbol, at, price, fetched_at, raw_response_id in cursor:
        found[provider, symbol][at] = StoredPoint(price, fetched_at, raw_response_id)
    return dict(found)


def replace_points(cursor: Cursor, points: Sequence[PricePoint]) -> None:
    """Give stored points the answer of `points`."""
    cursor.execute(
        _REPLACE,
        (
            array([p.provider for p in points]),
            array([p.symbol for p in points]),
            array([p.observed_at for p in points]),
            array([p.price for p in points]),
            array([p.currency for p in points]),
            array([p.raw_response_id for p in points]),
            array([p.fetched_at for p in points]),
        ),
    )


def upsert_averages(cursor: Cursor, rows: Sequence[AverageRow]) -> None:
    """Add or overwrite averages, in key order."""
    ordered = sorted(rows)
    cursor.execute(
        _UPSERT_AVERAGES,
        (
            WINDOW,
            array([row[0] for row in ordered]),
            array([row[1] for row in ordered]),
            array([row[2] for row in ordered]),
            array([row[3] for row in ordered]),
            array([row[4] for row in ordered]),
        ),
    )
