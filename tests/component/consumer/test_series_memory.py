"""A writer that remembers its series still believes the rows alone."""

from decimal import Decimal

import pytest
import sqlalchemy as sa

from marketdata.clock import SystemClock
from marketdata.domain.price import PricePoint
from marketdata.domain.series import Series, SeriesState
from marketdata.storage.price_writer import PostgresPriceStore, PostgresPriceTransaction
from marketdata.storage.series_memory import SeriesMemory
from support.builders import a_price, at
from support.servers import Database

_FIRST = a_price(price="1", observed_at=at(0))
_SECOND = a_price(price="2", observed_at=at(1))
_KEY: Series = (_FIRST.provider, _FIRST.symbol)


def _state(*points: PricePoint) -> SeriesState:
    return SeriesState(points[-1], [p.observed_at for p in points], [p.price for p in points])


def _write(store: PostgresPriceStore, *states: SeriesState) -> None:
    def work(transaction: PostgresPriceTransaction) -> None:
        transaction.lock_series([_KEY])
        transaction.write_states(states)

    store.transact(work)


def _states(store: PostgresPriceStore) -> dict[Series, SeriesState]:
    return store.transact(lambda transaction: transaction.lock_series([_KEY]))


@pytest.fixture
def store(database: Database) -> PostgresPriceStore:
    return PostgresPriceStore(database.engine, clock=SystemClock())


def test_a_row_that_stands_as_it_was_written_is_not_read_again(store: PostgresPriceStore) -> None:
    written = _state(_FIRST)
    _write(store, written)
    assert _states(store)[_KEY] is written


def test_another_writers_row_is_read(store: PostgresPriceStore, database: Database) -> None:
    _write(store, _state(_FIRST))
    _write(PostgresPriceStore(database.engine, clock=SystemClock()), _state(_FIRST, _SECOND))
    assert _states(store) == {_KEY: _state(_FIRST, _SECOND)}


def test_a_row_changed_by_hand_is_read(store: PostgresPriceStore, database: Database) -> None:
    _write(store, _state(_FIRST))
    with database.engine.begin() as connection:
        connection.execute(sa.text("update latest_prices set price = 7, recent_prices = '{7}'"))
    assert _states(store)[_KEY].prices == [Decimal(7)]


def test_what_was_rolled_back_is_not_believed(store: PostgresPriceStore) -> None:
    _write(store, _state(_FIRST))

    def work(transaction: PostgresPriceTransaction) -> None:
        transaction.lock_series([_KEY])
        transaction.write_states([_state(_FIRST, _SECOND)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(work)
    assert _states(store) == {_KEY: _state(_FIRST)}


def test_an_emptied_table_gets_its_rows_again(store: PostgresPriceStore, database: Database) -> None:
    _write(store, _state(_FIRST))
    with database.engine.begin() as connection:
        connection.execute(sa.text("truncate latest_prices"))
    assert _states(store) == {}
    _write(store, _state(_SECOND))
    assert _states(store) == {_KEY: _state(_SECOND)}


def test_a_transaction_number_given_twice_does_not_deceive() -> None:
    memory, state = SeriesMemory(), _state(_FIRST)
    memory.remember([state], ("700", "2026-01-05 14:30:00.000001+00"))
    assert memory.recall(_KEY, ("700", "2026-01-05 14:30:00.000001+00")) is state
    assert memory.recall(_KEY, ("700", "2026-01-05 14:31:00.000001+00")) is None
    assert memory.recall(_KEY, ("701", "2026-01-05 14:30:00.000001+00")) is None


def test_a_full_memory_is_emptied() -> None:
    memory = SeriesMemory(limit=1)
    other = a_price(symbol="OTHER", observed_at=at(0))
    memory.remember([_state(_FIRST)], ("1", "t"))
    memory.remember([_state(other)], ("2", "t"))
    assert not memory.knows_all([_KEY])
    assert memory.recall((other.provider, "OTHER"), ("2", "t")) is not None
