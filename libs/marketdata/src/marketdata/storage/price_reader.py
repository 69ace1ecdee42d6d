"""Reading prices and averages: what the API answers from when the cache cannot.

Only reads, each in one short transaction; every method may block and raises StoreUnavailable.
Nothing here is cached, and nothing waits for writers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa

from marketdata.domain.average import WINDOW, MovingAverage, moving_average
from marketdata.domain.price import PricePoint
from marketdata.storage.engine import transaction

Series = tuple[str, str | None]
"""A symbol, and a provider or None for whichever is newest."""


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One price as history tells it."""

    provider: str
    symbol: str
    observed_at: datetime
    price: Decimal
    currency: str | None
    fetched_at: datetime
    stored_at: datetime
    raw_response_id: UUID


@dataclass(frozen=True, slots=True)
class AveragePoint:
    """The moving average at one point; `raw_response_ids` are the answers it rests on, newest first."""

    provider: str
    symbol: str
    observed_at: datetime
    window: int
    average: MovingAverage
    raw_response_ids: tuple[UUID, ...]


_LATEST = sa.text(
    """
    select asked.place, l.provider, l.symbol, l.observed_at, l.price, l.currency, l.fetched_at,
           l.raw_response_id, l.market_state, l.delayed_by, l.interval_seconds
    from unnest(cast(:symbols as text[]), cast(:providers as text[]))
         with ordinality as asked (symbol, provider, place)
    cross join lateral (
      select * from latest_prices l
      where l.symbol = asked.symbol and l.observed_at is not null
        and (asked.provider is null or l.provider = asked.provider)
      order by l.observed_at desc, l.fetched_at desc, l.raw_response_id desc
      limit 1
    ) l
    """
)

# One index scan per provider of the symbol, each cut at the limit, instead of sorting the series.
_HISTORY = """
    select p.provider, p.symbol, p.observed_at, p.price, p.currency, p.fetched_at, p.stored_at,
           p.raw_response_id
    from latest_prices l
    cross join lateral (
      select * from price_points p
      where p.provider = l.provider and p.symbol = l.symbol
        and (cast(:start as timestamptz) is null or p.observed_at >= :start)
        and (cast(:end as timestamptz) is null or p.observed_at < :end)
        and (cast(:at as timestamptz) is null
             or (p.observed_at {reaches} :at and (p.observed_at, p.provider) {passes} (:at, :after_provider)))
      order by p.observed_at {direction}
      limit :limit
    ) p
    where l.symbol = :symbol and (cast(:provider as text) is null or l.provider = :provider)
    order by p.observed_at {direction}, p.provider {direction}
    limit :limit
    """
_FORWARD = sa.text(_HISTORY.format(reaches=">=", passes=">", direction="asc"))
_BACKWARD = sa.text(_HISTORY.format(reaches="<=", passes="<", direction="desc"))

_NEWEST_PROVIDER = sa.text(
    """
    select provider from latest_prices
    where symbol = :symbol and observed_at is not null
      and (cast(:provider as text) is null or provider = :provider)
    order by observed_at desc, fetched_at desc, raw_response_id desc
    limit 1
    """
)

_POINTS_AND_AVERAGES = sa.text(
    """
    select p.observed_at, p.price, p.raw_response_id, a.moving_average, a.sample_size
    from price_points p
    left join symbol_averages a
      on a.provider = p.provider and a.symbol = p.symbol and a.observed_at = p.observed_at
     and a."window" = :window
    where p.provider = :provider and p.symbol = :symbol
      and (cast(:before as timestamptz) is null or p.observed_at < :before)
    order by p.observed_at desc
    limit :limit
    """
)

_COVERED = sa.text(
    """
    select asked.place, min(job.interval_seconds)
    from unnest(cast(:symbols as text[]), cast(:providers as text[]))
         with ordinality as asked (symbol, provider, place)
    join polling_jobs as job on job.symbols @> array[asked.symbol] and not job.suspended
      and (asked.provider is null or job.provider = asked.provider)
    group by asked.place
    """
)


class PostgresPriceReader:
    """Latest prices, history and averages out of Postgres."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def ping(self) -> None:
        """Return if the database answers; raises StoreUnavailable."""
        with transaction(self._engine) as connection:
            connection.execute(sa.text("select 1"))

    def latest_many(self, wanted: Sequence[Series]) -> dict[Series, PricePoint]:
        """Return the newest point of each series that has one, all of one snapshot."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_LATEST, _asked(wanted)).all()
        return {
            wanted[row.place - 1]: PricePoint(
                provider=row.provider,
                symbol=row.symbol,
                observed_at=row.observed_at,
                price=row.price,
                currency=row.currency,
                fetched_at=row.fetched_at,
                raw_response_id=row.raw_response_id,
                market_state=row.market_state,
                delayed_by_seconds=row.delayed_by,
                interval_seconds=row.interval_seconds,
            )
            for row in rows
        }

    def history(
        self,
        *,
        symbol: str,
        provider: str | None,
        start: datetime | None,
        end: datetime | None,
        newest_first: bool,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[StoredPoint]:
        """Return up to `limit` points with start ≤ observed_at < end, past `after` = (observed_at, provider).

        Without a provider the points of all providers come merged in the order of their times.
        """
        parameters = {
            "symbol": symbol,
            "provider": provider,
            "start": start,
            "end": end,
            "at": after[0] if after else None,
            "after_provider": after[1] if after else "",
            "limit": limit,
        }
        with transaction(self._engine) as connection:
            rows = connection.execute(_BACKWARD if newest_first else _FORWARD, parameters)
            return [StoredPoint(**row._asdict()) for row in rows]

    def averages(
        self,
        *,
        symbol: str,
        provider: str | None,
        window: int,
        before: datetime | None,
        limit: int,
    ) -> list[AveragePoint]:
        """Return the averages at up to `limit` points, newest first, earlier than `before`.

        Those of the window that is kept are read, those of any other computed from the prices.
        Without a provider: the series of the provider whose point is newest. Empty where the
        symbol has no points.
        """
        with transaction(self._engine) as connection:
            series = connection.scalar(_NEWEST_PROVIDER, {"symbol": symbol, "provider": provider})
            if series is None:
                return []
            points = connection.execute(
                _POINTS_AND_AVERAGES,
                {
                    "symbol": symbol,
                    "provider": series,
                    "window": window,
                    "before": before,
                    "limit": limit + window - 1,
                },
            ).all()
        answers = []
        for place, point in enumerate(points[:limit]):
            members = points[place : place + window]
            if window == WINDOW and point.moving_average is not None:
                average = MovingAverage(point.moving_average, point.sample_size)
            else:
                average = moving_average([member.price for member in members])
            answers.append(
                AveragePoint(
                    provider=series,
                    symbol=symbol,
                    observed_at=point.observed_at,
                    window=window,
                    average=average,
                    raw_response_ids=tuple(member.raw_response_id for member in members),
                )
            )
        return answers

    def covering_intervals(self, wanted: Sequence[Series]) -> dict[Series, int]:
        """Return the shortest interval, in seconds, of the running jobs that ask for each series."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_COVERED, _asked(wanted))
            return {wanted[place - 1]: interval for place, interval in rows}


def _asked(wanted: Sequence[Series]) -> dict[str, list[str] | list[str | None]]:
    return {"symbols": [symbol for symbol, _ in wanted], "providers": [provider for _, provider in wanted]}
