"""The grid of due times is the same in SQL and in the domain."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from marketdata.domain.schedule import ANCHOR, next_tick
from marketdata.storage.engine import create_engine
from marketdata.storage.grid import next_tick_sql
from marketdata_tools.embedded.postgres import EmbeddedPostgres
from support.servers import settings_of
from support.strategies import providers

_SQL = sa.text(
    "select ordinal, "
    + next_tick_sql(after="moment", provider="name", interval_seconds="seconds")
    + """
    from unnest(cast(:moments as timestamptz[]), cast(:names as text[]), cast(:seconds as int[]))
      with ordinality as asked (moment, name, seconds, ordinal)
    order by ordinal
    """
)


@pytest.fixture(scope="module")
def engine(postgres_server: EmbeddedPostgres) -> Iterator[sa.Engine]:
    made = create_engine(settings_of(postgres_server.url()), application="tests")
    yield made
    made.dispose()


_moments = st.datetimes(
    min_value=datetime(2015, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(2099, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
_intervals = st.integers(1, 86_400)


@hypothesis_settings(max_examples=40)
@given(st.lists(st.tuples(_moments, providers, _intervals), min_size=30, max_size=60))
def test_the_database_computes_the_same_next_tick_as_the_domain(
    engine: sa.Engine, asked: list[tuple[datetime, str, int]]
) -> None:
    ticks = [next_tick(moment, provider=name, interval_seconds=seconds) for moment, name, seconds in asked]
    on_grid = [(tick, name, seconds) for tick, (_, name, seconds) in zip(ticks, asked, strict=True)]

    for questions in (asked, on_grid):  # also exactly on a tick, where "strictly after" matters
        moments, names, intervals = (list(column) for column in zip(*questions, strict=True))
        with engine.connect() as connection:
            rows = connection.execute(_SQL, {"moments": moments, "names": names, "seconds": intervals}).all()

        assert [at for _, at in rows] == [
            next_tick(moment, provider=name, interval_seconds=seconds) for moment, name, seconds in questions
        ]


@given(_moments, providers, _intervals)
def test_the_next_tick_is_later_by_at_most_one_interval_and_lies_on_the_grid(
    moment: datetime, name: str, seconds: int
) -> None:
    tick = next_tick(moment, provider=name, interval_seconds=seconds)

    assert timedelta(0) < tick - moment <= timedelta(seconds=seconds)
    assert next_tick(tick, provider=name, interval_seconds=seconds) - tick == timedelta(seconds=seconds)


def test_jobs_of_one_provider_and_interval_meet_whenever_they_were_made() -> None:
    first = next_tick(ANCHOR + timedelta(days=1, seconds=3), provider="yfinance", interval_seconds=60)
    second = next_tick(ANCHOR + timedelta(days=1, seconds=4), provider="yfinance", interval_seconds=60)

    assert first == second
