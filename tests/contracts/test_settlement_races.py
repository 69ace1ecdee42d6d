"""What changes while a sweep is between its snapshot and its locks, or between its locks and its commit.

The sweep reads through a view that waits for a lock of the test's, so a change can be committed after
the snapshot was taken and before any row is locked.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from marketdata.domain.publication import Coordinates, Observation
from marketdata.storage.dead_letter_relay import PostgresDeadLetterRelay
from marketdata.storage.dead_letters import PostgresDeadLetters
from marketdata.storage.engine import create_engine
from marketdata.storage.settlement import PostgresSettlement
from support.servers import Database
from support.settling import ACCOUNT, Pipeline
from support.waiting import eventually

GATE = 4711
_VIEW = f"""
    create schema held;
    create function held.gate() returns boolean language plpgsql volatile as $$ begin
      perform pg_advisory_lock_shared({GATE});
      perform pg_advisory_unlock_shared({GATE});
      return true;
    end $$;
    create view held.consumer_accounts as
      select account.* from (select held.gate() offset 0) as gate, public.consumer_accounts as account
"""
_WAITS = """
    select exists (select from pg_locks join pg_database as base on base.oid = database
      where datname = current_database() and locktype = 'advisory' and not granted)
"""
_WAITS_FOR_A_ROW = """
    select exists (select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'transactionid')
"""


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    return Pipeline(database.engine)


class Sweeper:
    """Sweeps in a thread of its own, on connections of its own."""

    def __init__(self, pipeline: Pipeline, engine: sa.Engine, pool: ThreadPoolExecutor) -> None:
        self._pipeline = pipeline
        self._pool = pool
        self.engine = engine
        self.settlement = PostgresSettlement(engine)

    def sweep_while(self, change: Callable[[], object]) -> dict[str, int]:
        """Commit `change` after the sweep's snapshot and before its locks; return what was swept."""
        with self._pipeline.engine.begin() as gate:
            gate.execute(sa.text(f"select pg_advisory_xact_lock({GATE})"))
            sweeping = self._pool.submit(self.settlement.sweep)
            eventually(lambda: self.is_true(_WAITS), within=20)
            change()
        swept = sweeping.result(20)
        assert swept is not None
        return {verdict: count for verdict, count in swept.verdicts.items() if count}

    def sweep_until_locked(self, change: Callable[[], object]) -> dict[str, int]:
        """Begin `change` when the sweep has its locks, and commit the sweep when that waits for one."""
        changing: list[Future[object]] = []

        def before_commit(_: sa.Connection) -> None:
            if not changing:
                changing.append(self._pool.submit(change))
                eventually(lambda: self.is_true(_WAITS_FOR_A_ROW), within=20)

        sa.event.listen(self.engine, "commit", before_commit)
        swept = self.settlement.sweep()
        changing[0].result(20)
        assert swept is not None
        return {verdict: count for verdict, count in swept.verdicts.items() if count}

    def is_true(self, question: str) -> bool:
        return bool(self._pipeline.execute(question).scalar())


@pytest.fixture
def sweeper(database: Database, pipeline: Pipeline) -> Iterator[Sweeper]:
    pipeline.execute(_VIEW)
    engine = create_engine(database.settings, application="tests-sweeper")

    @sa.event.listens_for(engine, "connect")
    def look_through_the_view(connection: object, _: object) -> None:
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute("set search_path to held, public")
        connection.commit()  # type: ignore[attr-defined]

    with ThreadPoolExecutor(max_workers=1) as pool:
        yield Sweeper(pipeline, engine, pool)
    engine.dispose()


def replay(pipeline: Pipeline, *, offset: int = 4) -> None:
    with PostgresDeadLetterRelay(pipeline.engine).requested(10) as batch:
        batch.mark_replayed([(batch.letters[0], Coordinates(ACCOUNT, 0, offset))])


def a_dead_event(pipeline: Pipeline) -> Observation:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.dead_letter(event.event_id)
    PostgresDeadLetters(pipeline.engine).request_replay()
    return event


def test_an_event_replayed_after_it_was_judged_dead_stays_open(pipeline: Pipeline, sweeper: Sweeper) -> None:
    event = a_dead_event(pipeline)

    assert sweeper.sweep_while(lambda: replay(pipeline)) == {"open": 1}
    assert (pipeline.ledger().dead, pipeline.ledger().open) == (0, 1)

    assert pipeline.sweep() == {"open": 1}
    pipeline.store(event.point)
    assert pipeline.sweep() == {"stored": 1}


def test_an_event_whose_replay_waits_for_the_sweep_is_dead_first_and_open_then(
    pipeline: Pipeline, sweeper: Sweeper
) -> None:
    a_dead_event(pipeline)

    assert sweeper.sweep_until_locked(lambda: replay(pipeline)) == {"dead": 1}
    assert (pipeline.ledger().dead, pipeline.ledger().open) == (0, 1)


def test_an_event_published_again_after_it_was_judged_lost_is_not_lost(
    pipeline: Pipeline, sweeper: Sweeper
) -> None:
    a_dead_event(pipeline)
    replay(pipeline)
    pipeline.open_position(5)
    letters = PostgresDeadLetters(pipeline.engine)
    (letter,) = pipeline.execute("select id from dead_letters").scalars()
    assert letters.request_replay(identifiers=[letter]) == 1

    assert sweeper.sweep_while(lambda: replay(pipeline, offset=5)) == {"open": 1}
    assert pipeline.publish() == 0
    assert pipeline.ledger().republished == 0
    assert pipeline.sweep() == {"open": 1}


def test_an_event_marked_published_after_it_was_judged_stored_is_stored_once(
    pipeline: Pipeline, sweeper: Sweeper
) -> None:
    event = pipeline.an_event()
    pipeline.store(event.point)

    assert sweeper.sweep_while(pipeline.publish) == {"open": 1}
    assert pipeline.sweep() == {"stored": 1}
    assert pipeline.ledger().stored == 1


def test_an_event_stored_after_it_was_judged_lost_goes_out_once_more_and_is_stored_once(
    pipeline: Pipeline, sweeper: Sweeper
) -> None:
    event = pipeline.an_event()
    pipeline.publish()
    pipeline.open_position(0, opened="now")  # reopened at the log's start: it may still come from there

    assert sweeper.sweep_while(lambda: pipeline.store(event.point)) == {"lost": 1}
    assert pipeline.publish() == 1
    assert pipeline.sweep() == {"stored": 1}
    assert (pipeline.ledger().stored, pipeline.ledger().republished) == (1, 1)
