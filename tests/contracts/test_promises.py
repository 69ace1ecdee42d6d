"""Promises are judged in Postgres as in the domain, each second once, whoever does it."""

import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from marketdata.domain.average import WINDOW
from marketdata.domain.job import Slo
from marketdata.domain.promise import ORDINARY_STRETCH, Kept, PromiseState, covered_from, judge
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_status import PostgresJobStatus
from marketdata.storage.promises import PostgresPromises
from support.builders import a_job, an_origin
from support.servers import Database

NONE = timedelta()


class World:
    """Jobs, prices and the clock of promises in one database."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        self.book = PostgresJobBook(database.engine)
        self.promises = PostgresPromises(database.engine)

    def run(self, statement: str, **values: object) -> sa.CursorResult[tuple[object, ...]]:
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement), values)

    def scalar(self, statement: str, **values: object) -> object:
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement), values).scalar_one()

    def now(self) -> datetime:
        now = self.scalar("select now()")
        assert isinstance(now, datetime)
        return now

    def judged_until(self) -> datetime:
        until = self.scalar("select judged_until from promise_clock")
        assert isinstance(until, datetime)
        return until

    def unjudged(self, seconds: float) -> None:
        self.run("update promise_clock set judged_until = now() - make_interval(secs => :s)", s=seconds)

    def promise(self, *symbols: str, awake_for: float = 10**6, **wish: object) -> UUID:
        job = a_job(*symbols, **{"slo": Slo(60, "99.9"), **wish})  # type: ignore[arg-type]
        self.book.create(job)
        self.run(
            """update polling_schedule set awake_since = now() - make_interval(secs => :s)
            where job_id = :job""",
            s=awake_for,
            job=job.job_id,
        )
        return job.job_id

    def prices(self, symbol: str, *ages: float, state: str = "REGULAR", confirmed: float = 1) -> None:
        now = self.now()
        times = sorted(now - timedelta(seconds=age) for age in ages)[-WINDOW:]
        self.run(
            """insert into latest_prices (provider, symbol, observed_at, price, fetched_at, market_state,
              recent_times, recent_prices)
            values ('synthetic', :symbol, :newest, 1, :fetched, :state,
              cast(cast(:times as timestamptz[]) as text), cast(cast(:prices as numeric[]) as text))
            on conflict (provider, symbol) do update set observed_at = excluded.observed_at,
              fetched_at = excluded.fetched_at, market_state = excluded.market_state,
              recent_times = excluded.recent_times""",
            symbol=symbol,
            newest=times[-1] if times else None,
            fetched=now - timedelta(seconds=confirmed),
            state=state,
            times=times,
            prices=[1] * len(times),
        )

    def kept(self, job: UUID) -> Kept:
        with self.engine.begin() as connection:
            row = connection.execute(
                sa.text(
                    """select coalesce(sum(counted), 0), coalesce(sum(kept), 0)
                    from promise_ledger where job_id = :job"""
                ),
                {"job": job},
            ).one()
        return Kept(*row)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


_ages = st.lists(st.integers(0, 9000), max_size=WINDOW, unique=True)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ages=_ages,
    unjudged=st.integers(1, 9000),
    awake_for=st.integers(0, 9000),
    max_age=st.integers(1, 5000),
    is_closed=st.booleans(),
    confirmed=st.sampled_from([1, 100_000]),
)
def test_the_database_judges_as_the_domain_does(
    world: World,
    ages: list[int],
    unjudged: int,
    awake_for: int,
    max_age: int,
    is_closed: bool,
    confirmed: int,
) -> None:
    world.run("delete from polling_jobs")
    world.run("delete from latest_prices")
    job = world.promise("AAPL", awake_for=awake_for, slo=Slo(max_age, "99"))
    world.prices("AAPL", *ages, state="CLOSED" if is_closed else "REGULAR", confirmed=confirmed)
    world.unjudged(unjudged)
    since = world.judged_until()

    judged = world.promises.judge(at_least=NONE)

    until = world.judged_until()
    with world.engine.begin() as connection:
        awake = connection.execute(sa.text("select awake_since from polling_schedule")).scalar_one()
        times = connection.execute(
            sa.text("select recent_times::timestamptz[] from latest_prices")
        ).scalar_one()
    expected = judge(
        times,
        since=max(since, covered_from(awake, 60)),
        until=until,
        max_age_seconds=max_age,
        is_closed=is_closed and confirmed == 1,
        is_ordinary=until - since <= ORDINARY_STRETCH,
    )
    found = world.kept(job)
    assert found.counted == pytest.approx(expected.counted)
    assert found.kept == pytest.approx(expected.kept)
    for each in judged or ():
        assert each.provider == "synthetic"
        assert each.kept == pytest.approx(expected.kept)
        assert each.kept + each.broken == pytest.approx(expected.counted)
        assert each.allowed == pytest.approx(expected.counted / 100)
    assert bool(judged) == (expected.counted > 0)


def test_a_promise_counts_over_all_symbols_of_its_job(world: World) -> None:
    job = world.promise("NEW", "OLD", "NONE")
    world.prices("NEW", 5, 30)
    world.prices("OLD", 500)
    world.unjudged(10)
    since = world.judged_until()

    world.promises.judge(at_least=NONE)

    found = world.kept(job)
    assert found.counted == pytest.approx(3 * (world.judged_until() - since).total_seconds())
    assert found.kept == pytest.approx(found.counted / 3)


def test_time_is_put_into_the_hours_it_belongs_to(world: World) -> None:
    job = world.promise("AAPL")
    world.prices("AAPL", 1, 2, 3)
    world.unjudged(3 * 3600)
    since = world.judged_until()

    world.promises.judge(at_least=NONE)

    with world.engine.begin() as connection:
        hours = connection.execute(
            sa.text("select counted from promise_ledger where job_id = :job order by hour"), {"job": job}
        )
        counted = [row.counted for row in hours]
    assert len(counted) in {3, 4}
    assert all(0 < each <= 3600 for each in counted)
    assert sum(counted) == pytest.approx((world.judged_until() - since).total_seconds())


def test_days_are_the_sums_of_their_hours(world: World) -> None:
    job = world.promise("AAPL")
    world.prices("AAPL", 9000, 40_000)
    world.unjudged(86_000)

    world.promises.judge(at_least=NONE)
    world.unjudged(100)
    world.promises.judge(at_least=NONE)

    statement = """select day, counted, kept from promise_days where job_id = :job order by day"""
    hours = """select date_trunc('day', hour, 'UTC'), sum(counted), sum(kept) from promise_ledger
        where job_id = :job group by 1 order by 1"""
    with world.engine.begin() as connection:
        days = connection.execute(sa.text(statement), {"job": job}).all()
        sums = connection.execute(sa.text(hours), {"job": job}).all()
    assert [row[0] for row in days] == [row[0] for row in sums]
    assert [row[1] for row in days] == pytest.approx([row[1] for row in sums])
    assert [row[2] for row in days] == pytest.approx([row[2] for row in sums])


def test_a_suspended_job_and_one_without_a_promise_do_not_count(world: World) -> None:
    suspended = world.promise("AAPL", suspended=True)
    without = world.promise("AAPL", slo=None)
    world.unjudged(10)

    assert world.promises.judge(at_least=NONE) == []
    assert (world.kept(suspended), world.kept(without)) == (Kept(0, 0), Kept(0, 0))


def test_a_resumed_job_is_given_its_first_interval_again(world: World) -> None:
    job = world.promise("AAPL")
    world.book.set_suspended(job, suspended=True)
    world.book.set_suspended(job, suspended=False)
    world.unjudged(10)

    world.promises.judge(at_least=NONE)

    assert world.kept(job) == Kept(0, 0)


def test_a_stretch_shorter_than_asked_for_is_left_for_later(world: World) -> None:
    job = world.promise("AAPL")
    world.unjudged(5)

    assert world.promises.judge(at_least=timedelta(seconds=60)) is None
    assert world.kept(job) == Kept(0, 0)


def test_many_judges_at_once_judge_each_second_once(world: World) -> None:
    job = world.promise("AAPL")
    world.prices("AAPL", 1, 2)
    world.unjudged(1000)
    since = world.judged_until()

    def judge_often() -> None:
        for _ in range(10):
            world.promises.judge(at_least=NONE)

    threads = [threading.Thread(target=judge_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert world.kept(job).counted == pytest.approx((world.judged_until() - since).total_seconds())


def test_a_judge_that_dies_in_its_work_leaves_the_stretch_to_the_next(world: World) -> None:
    job = world.promise("AAPL")
    world.unjudged(100)
    since = world.judged_until()
    world.run("alter table promise_clock add constraint stuck check (judged_until < now() - interval '50 s')")

    with pytest.raises(sa.exc.IntegrityError):
        world.promises.judge(at_least=NONE)
    assert (world.kept(job), world.judged_until()) == (Kept(0, 0), since)

    world.run("alter table promise_clock drop constraint stuck")
    world.promises.judge(at_least=NONE)
    assert world.kept(job).counted == pytest.approx((world.judged_until() - since).total_seconds())


def test_a_longer_absence_of_every_judge_counts_as_its_last_day(world: World) -> None:
    job = world.promise("AAPL")
    world.unjudged(5 * 86_400)

    world.promises.judge(at_least=NONE)

    assert world.kept(job).counted == pytest.approx(86_400)


def _hour(world: World, job: UUID, *, hours_ago: float, counted: float, kept: float) -> None:
    world.run(
        """insert into promise_ledger (job_id, hour, counted, kept)
        values (:job, date_trunc('hour', now()) - make_interval(secs => :ago), :counted, :kept)""",
        job=job,
        ago=hours_ago * 3600,
        counted=counted,
        kept=kept,
    )
    world.run(
        """insert into promise_days (job_id, day, counted, kept)
        values (:job, date_trunc('day', now() - make_interval(secs => :ago), 'UTC'), :counted, :kept)
        on conflict (job_id, day) do update set counted = promise_days.counted + excluded.counted,
          kept = promise_days.kept + excluded.kept""",
        job=job,
        ago=hours_ago * 3600,
        counted=counted,
        kept=kept,
    )


def test_a_job_shows_its_last_day_and_its_last_thirty_days(world: World) -> None:
    promised = a_job("AAPL", slo=Slo(60, "99"), origin=an_origin("tech"))
    world.book.sync("demo", [promised])
    _hour(world, promised.job_id, hours_ago=1, counted=100, kept=90)
    _hour(world, promised.job_id, hours_ago=48, counted=100, kept=100)
    _hour(world, promised.job_id, hours_ago=24 * 31, counted=100, kept=0)

    view = world.book.get(promised.job_id)
    (status,) = PostgresJobStatus(world.engine, release="demo", namespaces=None).statuses().values()

    assert view is not None
    assert (view.standing.day, view.standing.month) == (Kept(100, 90), Kept(200, 190))
    assert (status.standing, status.slo) == (view.standing, Slo(60, "99"))
    assert world.book.page(limit=5)[0].standing == view.standing


def test_jobs_are_counted_by_how_their_promises_stand(world: World) -> None:
    for kept in (1000, 999.2, 990):
        _hour(world, world.promise("AAPL"), hours_ago=1, counted=1000, kept=kept)
    world.promise("AAPL")
    world.promise("AAPL", slo=None)

    assert world.promises.states() == {
        PromiseState.KEPT: 1,
        PromiseState.AT_RISK: 1,
        PromiseState.BROKEN: 1,
        PromiseState.UNKNOWN: 1,
    }
