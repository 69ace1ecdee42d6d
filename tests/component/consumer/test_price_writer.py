"""The consumer's transaction on a real PostgreSQL."""

import threading
from collections.abc import Sequence
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.clock import SystemClock
from marketdata.domain.price import PricePoint
from marketdata.errors import Fenced
from marketdata.storage.positions import PostgresPositions
from marketdata.storage.price_writer import PostgresPriceStore
from marketdata_consumer.batch import Gathering
from marketdata_consumer.writer import BatchWriter, Written
from support.builders import a_price, at
from support.histories import histories
from support.messages import AMessage, messages
from support.servers import Database
from support.tables import check_tables, counts

ACCOUNT = "cluster:topic"


class Writing:
    """One consumer's reading of some partitions and writing of them, without a broker."""

    def __init__(self, engine: sa.Engine, *partitions: int) -> None:
        self.engine = engine
        self.positions = PostgresPositions(engine)
        self.positions.open_account(ACCOUNT, "price-events")
        self.gathering = Gathering(self.positions.read(ACCOUNT, dict.fromkeys(partitions, 0)))
        self.writer = BatchWriter(store=PostgresPriceStore(engine, clock=SystemClock()), feed=lambda _: None)

    def write(self, points: Sequence[PricePoint], partition: int = 0) -> Written:
        start = self.gathering.positions[partition]
        self.gathering.add(partition, messages(points, start=start, partition=partition))
        return self.writer.write(ACCOUNT, self.gathering.seal())


def _empty(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "truncate price_points, symbol_averages, latest_prices, consumer_offsets,"
                " consumer_accounts cascade"
            )
        )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories, data=st.data())
def test_any_history_in_any_batches_ends_in_the_naive_tables(
    database: Database, events: list[PricePoint], data: st.DataObject
) -> None:
    _empty(database.engine)
    writing, left = Writing(database.engine, 0), events
    while left:
        size = data.draw(st.integers(min_value=1, max_value=len(left)))
        writing.write(left[:size])
        left = left[size:]
    check_tables(database.engine, events)
    assert counts(database.engine)["consumed"] == len(events)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=histories, second=histories, size=st.integers(min_value=1, max_value=7))
def test_two_writers_of_the_same_series_at_once_end_in_the_naive_tables(
    database: Database, first: list[PricePoint], second: list[PricePoint], size: int
) -> None:
    _empty(database.engine)
    writers = [Writing(database.engine, 0, 1), Writing(database.engine, 0, 1)]
    failures: list[BaseException] = []

    def work(which: int, events: list[PricePoint]) -> None:
        try:
            for start in range(0, len(events), size):
                writers[which].write(events[start : start + size], partition=which)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=item) for item in enumerate([first, second])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    check_tables(database.engine, first + second)


def _tuples(engine: sa.Engine, table: str) -> dict[object, str]:
    with engine.connect() as connection:
        rows = connection.execute(sa.text(f"select observed_at, xmin::text || ctid::text as v from {table}"))
        return {row.observed_at: row.v for row in rows}


def _touched(engine: sa.Engine, table: str, before: dict[object, str]) -> list[object]:
    return sorted(at for at, version in _tuples(engine, table).items() if before.get(at) != version)  # type: ignore[type-var]


def test_a_correction_of_an_old_point_touches_its_own_average_and_the_next_four_only(
    database: Database,
) -> None:
    writing = Writing(database.engine, 0)
    steady = [a_price(price=str(i), observed_at=at(i)) for i in range(30)]
    writing.write(steady)
    points, averages = _tuples(database.engine, "price_points"), _tuples(database.engine, "symbol_averages")
    correction = a_price(price="500", observed_at=at(10), fetched_at=at(99))
    writing.write([correction])
    assert _touched(database.engine, "price_points", points) == [at(10)]
    assert _touched(database.engine, "symbol_averages", averages) == [at(i) for i in range(10, 15)]
    check_tables(database.engine, [*steady, correction])


def test_a_correction_at_the_same_price_touches_no_average(database: Database) -> None:
    writing = Writing(database.engine, 0)
    steady = [a_price(price=str(i), observed_at=at(i)) for i in range(30)]
    writing.write(steady)
    averages = _tuples(database.engine, "symbol_averages")
    same = [
        a_price(price="10", observed_at=at(10), fetched_at=at(99)),
        a_price(price="29.0", observed_at=at(29), fetched_at=at(99)),
    ]
    writing.write(same)
    assert _touched(database.engine, "symbol_averages", averages) == []
    check_tables(database.engine, steady + same)


def test_a_point_late_by_far_more_than_the_window_is_kept_and_counted_in(database: Database) -> None:
    writing = Writing(database.engine, 0)
    steady = [a_price(price=str(i), observed_at=at(10 * i)) for i in range(50)]
    writing.write(steady)
    late = [a_price(price="7", observed_at=at(-5)), a_price(price="8", observed_at=at(205))]
    assert writing.write(late).stored == 2
    check_tables(database.engine, steady + late)


def test_positions_and_rows_move_together_or_not_at_all(database: Database) -> None:
    writing, zombie = Writing(database.engine, 0), Writing(database.engine, 0)
    first = [a_price(observed_at=at(0))]
    writing.write(first)
    with pytest.raises(Fenced):
        zombie.write([a_price(observed_at=at(5))])
    check_tables(database.engine, first)
    assert counts(database.engine) == {
        "consumed": 1,
        "stored": 1,
        "redelivered": 0,
        "dead": 0,
        "next_offset": 1,
    }


def test_a_batch_written_twice_is_written_once(database: Database) -> None:
    writing = Writing(database.engine, 0)
    events = [a_price(observed_at=at(i)) for i in range(3)]
    writing.gathering.add(0, messages(events))
    batch = writing.gathering.seal()
    writing.writer.write(ACCOUNT, batch)
    with pytest.raises(Fenced):
        writing.writer.write(ACCOUNT, batch)
    check_tables(database.engine, events)


def test_a_closed_account_fences_whoever_still_reads_it(database: Database) -> None:
    writing = Writing(database.engine, 0)
    PostgresPositions(database.engine).open_account("another:log", "price-events")
    with pytest.raises(Fenced):
        writing.write([a_price()])


def test_repeated_outranked_and_refused_events_are_counted_apart(database: Database) -> None:
    writing = Writing(database.engine, 0)
    event = a_price(observed_at=at(0), fetched_at=at(5))
    writing.write([event])
    outranked = a_price(observed_at=at(0), fetched_at=at(4))
    writing.gathering.add(0, [*messages([event, outranked], start=1), AMessage(b"{", 3), AMessage(None, 4)])
    assert writing.writer.write(ACCOUNT, writing.gathering.seal()) == Written(0, 1, 1, 2)
    assert counts(database.engine) == {
        "consumed": 5,
        "stored": 1,
        "redelivered": 2,
        "dead": 2,
        "next_offset": 5,
    }


def test_words_with_quotes_backslashes_and_commas_are_kept_as_they_are(database: Database) -> None:
    events = [
        a_price(observed_at=at(i), currency=word, market_state=word)
        for i, word in enumerate(['"', "\\", "\\N", "NULL", ",", "{}", "'", "", None])
    ]
    writing = Writing(database.engine, 0)
    for event in events:
        writing.write([event])
        with database.engine.connect() as connection:
            row = connection.execute(sa.text("select currency, market_state from latest_prices")).one()
            assert tuple(row) == (event.currency, event.market_state)
    with database.engine.connect() as connection:
        stored = (
            connection.execute(sa.text("select currency from price_points order by observed_at"))
            .scalars()
            .all()
        )
    assert stored == [event.currency for event in events]


def test_prices_are_exact_to_the_last_digit(database: Database) -> None:
    prices = ["999999999999999", "0.000000000001", "-37.63", "0", "1E+3", "999999999999999.999999999999"]
    events = [a_price(price=Decimal(p), observed_at=at(i)) for i, p in enumerate(prices)]
    writing = Writing(database.engine, 0)
    writing.write(events)
    check_tables(database.engine, events)
