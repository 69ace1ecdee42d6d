"""The consumer's tables read back, in the naive model's own shape."""

from collections.abc import Sequence

import sqlalchemy as sa

from marketdata.domain.average import WINDOW
from marketdata.domain.price import PricePoint
from support.naive import Tables, naive


def read_tables(engine: sa.Engine) -> Tables:
    """Return what is stored; points carry what price_points keeps of them."""
    tables = Tables()
    with engine.connect() as connection:
        for row in connection.execute(
            sa.text(
                "select provider, symbol, observed_at, price, currency, fetched_at, raw_response_id"
                " from price_points"
            )
        ):
            tables.points[(row.provider, row.symbol), row.observed_at] = PricePoint(*row)
        for row in connection.execute(
            sa.text('select * from symbol_averages where "window" = :w'), {"w": WINDOW}
        ):
            tables.averages[(row.provider, row.symbol), row.observed_at] = (
                row.moving_average,
                row.sample_size,
            )
        for row in connection.execute(
            sa.text(
                "select provider, symbol, observed_at, price, currency, fetched_at, raw_response_id,"
                " market_state,"
                " delayed_by, interval_seconds from latest_prices where observed_at is not null"
            )
        ):
            tables.latest[row.provider, row.symbol] = PricePoint(*row)
    return tables


def check_tables(engine: sa.Engine, events: Sequence[PricePoint]) -> None:
    """Assert that the tables are exactly those of `events`: nothing lost, nothing doubled."""
    stored, wished = read_tables(engine), naive(events)
    missing = wished.points.keys() - stored.points.keys()
    surplus = stored.points.keys() - wished.points.keys()
    assert not missing, f"{len(missing)} points are lost, for instance {min(missing)}"
    assert not surplus, f"{len(surplus)} points came from nowhere, for instance {min(surplus)}"
    for identity, point in wished.points.items():
        assert stored.points[identity].rank == point.rank, identity
        assert stored.points[identity].price == point.price, identity
    assert stored.averages == wished.averages
    assert stored.latest == wished.latest
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                """select provider, symbol, recent_times::timestamptz[], recent_prices::numeric[]
                from latest_prices where observed_at is not null"""
            )
        )
        for row in rows:
            series = (row.provider, row.symbol)
            times = sorted(at for s, at in wished.points if s == series)[-WINDOW:]
            assert list(row.recent_times) == times, series
            assert list(row.recent_prices) == [wished.points[series, at].price for at in times], series


def counts(engine: sa.Engine) -> dict[str, int]:
    """Return the sums of what the positions counted."""
    with engine.connect() as connection:
        row = connection.execute(
            sa.text(
                "select coalesce(sum(consumed), 0) as consumed, coalesce(sum(stored), 0) as stored,"
                " coalesce(sum(redelivered), 0) as redelivered, coalesce(sum(dead), 0) as dead,"
                " coalesce(sum(next_offset), 0) as next_offset from consumer_offsets"
            )
        ).one()
        return {name: int(value) for name, value in row._mapping.items()}
