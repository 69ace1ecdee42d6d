"""The job queue against a model: any order of claims, crashes, expiries, answers and edits.

Time does not pass here: a rule moves a job's due time or a lease's end into the past instead.
"""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.clock import SystemClock
from marketdata.domain.job import PollingJob
from marketdata.domain.poll import DueJob
from marketdata.domain.publication import Observation
from marketdata.identifiers import uuid7
from marketdata.storage.job_book import PostgresJobBook
from marketdata.storage.job_queue import PostgresJobQueue
from marketdata.storage.ledger import PostgresLedger
from marketdata.storage.outcomes import PostgresOutcomes, Recording
from marketdata_poller.plan import shortest_intervals
from support.builders import a_job, a_price, a_raw, a_seldom_interval, an_origin
from support.servers import Database

the_time = SystemClock().now

PROVIDERS = ("alpha", "beta")
POLLERS = ("first", "second")
HOUR = timedelta(hours=1)
_TABLES = (
    "polling_jobs, polling_schedule, job_states, polls, poll_ledger, raw_market_data, outbox, "
    "event_ledger, symbol_states, providers"
)


class Row:
    """What the model knows of one job: whether it is due, and whose lease it is under."""

    def __init__(self, job: PollingJob) -> None:
        self.job = job
        self.is_due = True
        self.token: UUID | None = None
        self.lease_ended = False
        self.extra = False
        self.suspended = False
        self.polls = 0

    @property
    def is_claimable(self) -> bool:
        return not self.suspended and self.is_due and (self.token is None or self.lease_ended)

    def free(self) -> None:
        self.token, self.lease_ended = None, False


class Model:
    """The queue in a few dictionaries, beside the real one: each deed is done to both and compared."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.seldom = {provider: _seldom_intervals(provider) for provider in PROVIDERS}
        self.execute(f"truncate {_TABLES} cascade")
        self.book = PostgresJobBook(self.engine)
        self.queues = {name: PostgresJobQueue(self.engine, owner=name, lease=HOUR) for name in POLLERS}
        self.outcomes = {name: PostgresOutcomes(self.engine, poller=name, lease=HOUR) for name in POLLERS}
        # What each poller believes to hold.
        self.claims: dict[str, dict[UUID, DueJob]] = {name: {} for name in POLLERS}
        self.rows: dict[UUID, Row] = {}
        self.deleted_polls = 0
        self.events = 0
        self.prices = 0
        self.made: list[UUID] = []
        for symbols, provider, from_kubernetes in (
            ("A", 0, False),
            ("AB", 0, True),
            ("BC", 0, False),
            ("D", 1, True),
        ):
            self.create(list(symbols), PROVIDERS[provider], from_kubernetes)

    def execute(self, statement: str, **values: object) -> sa.CursorResult[Any]:
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement), values)

    def create(self, symbols: list[str], provider: str, from_kubernetes: bool, pace: int = 0) -> None:
        origin = an_origin() if from_kubernetes else None
        number = UUID(int=len(self.made) + 1)  # not random, so that a failure can be repeated
        interval = self.seldom[provider][pace]
        job = a_job(*symbols, provider=provider, interval_seconds=interval, origin=origin, job_id=number)
        if from_kubernetes:
            self.book.sync("demo", [job])
        else:
            self.book.create(job)
        self.rows[job.job_id] = Row(job)
        self.made.append(job.job_id)

    def falls_due(self, which: int) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        if row and not row.is_due and row.token is None:
            self.execute("update polling_schedule set due_at = now() where job_id = :id", id=job_id)
            row.is_due = not row.suspended

    def claim(self, poller: str, provider: str) -> None:
        expected = {
            job_id for job_id, row in self.rows.items() if row.job.provider == provider and row.is_claimable
        }
        claim = self.queues[poller].claim(provider)

        assert claim is not None
        assert {job.job_id for job in claim.jobs} == expected
        for job in claim.jobs:
            row = self.rows[job.job_id]
            assert job.symbols == row.job.symbols
            row.token, row.lease_ended, row.extra = job.lease_token, False, False
            self.claims[poller][job.job_id] = job
        asked = {symbol for job in claim.jobs for symbol in job.symbols}
        assert shortest_intervals(claim.jobs, asked, claim.quicker) == {
            symbol: self.shortest_interval(provider, symbol) for symbol in asked
        }

    def shortest_interval(self, provider: str, symbol: str) -> int:
        """Return the shortest interval of the running jobs, due or not, that ask for `symbol`."""
        return min(
            row.job.interval_seconds
            for row in self.rows.values()
            if row.job.provider == provider and symbol in row.job.symbols and not row.suspended
        )

    def crash(self, poller: str) -> None:
        self.claims[poller].clear()

    def overtaken(self, poller: str) -> None:
        """The leases of `poller` end, and another poller claims what it finds."""
        for job in list(self.claims[poller].values()):
            if job.job_id in self.rows:
                self.lease_ends(self.made.index(job.job_id))
        other = next(name for name in POLLERS if name != poller)
        for provider in PROVIDERS:
            self.claim(other, provider)

    def asked_for_meanwhile(self, poller: str) -> None:
        """Someone wants a poll now of all that `poller` is polling."""
        for job in list(self.claims[poller].values()):
            self.poll_now(self.made.index(job.job_id))

    def lease_ends(self, which: int) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        if row and row.token:
            self.execute(
                "update polling_schedule set lease_until = now() - interval '1 s' where job_id = :id",
                id=job_id,
            )
            row.lease_ended = True

    def renew(self, poller: str) -> None:
        believed = list(self.claims[poller].values())
        held = self.queues[poller].renew(believed)

        assert held == {job.job_id for job in believed if self.holds(job)}
        for job_id in held:
            self.rows[job_id].lease_ended = False

    def release(self, poller: str) -> None:
        believed = list(self.claims[poller].values())
        self.queues[poller].release(believed)
        for job in believed:
            if self.holds(job):
                self.rows[job.job_id].free()
        self.claims[poller].clear()

    def answer(self, poller: str, most_held: bool, take: int, asked: set[str], again: bool) -> None:
        """The poller asks for `asked` on behalf of some of the jobs it believes to hold."""
        if not self.claims[poller]:
            poller = next((name for name in POLLERS if self.claims[name]), poller)
        held_first = sorted(self.claims[poller].values(), key=self.holds, reverse=most_held)
        provider = self.provider_of(held_first[0]) if held_first else PROVIDERS[0]
        believed = [job for job in held_first if self.provider_of(job) == provider][:take]
        if not believed:
            return
        self.prices += 1
        now = the_time()
        raw = a_raw(sorted(asked), provider=provider, fetched_at=now)
        observations = tuple(
            Observation(
                uuid7(now),
                a_price(
                    symbol=symbol,
                    provider=provider,
                    price=Decimal(self.prices),
                    observed_at=now,
                    fetched_at=now,
                    raw_response_id=raw.raw_response_id,
                ),
            )
            for symbol in sorted(asked)
        )
        with self.engine.begin() as connection:
            database_now = connection.execute(sa.text("select now()")).scalar_one()
        recording = Recording(provider, database_now, believed, {}, raws=(raw,), observations=observations)
        held = [job for job in believed if self.holds(job)]
        complete = {job.job_id for job in held if asked.issuperset(job.symbols)}
        wanted = {symbol for job in held for symbol in job.symbols} & asked
        recorded = self.outcomes[poller].record(recording)

        assert recorded.completed.keys() == complete
        assert recorded.lost == {job.job_id for job in believed} - {job.job_id for job in held}
        assert recorded.events == len(wanted)
        assert self.execute(
            "select fenced from raw_market_data where id = :id", id=raw.raw_response_id
        ).scalar_one() == (not wanted)
        self.events += len(wanted)
        for job in held:
            row = self.rows[job.job_id]
            row.lease_ended = False
            if job.job_id in complete:
                row.polls += 1
                row.free()
                row.is_due = row.extra
                row.extra = False
        for job_id in (*complete, *recorded.lost):
            self.claims[poller].pop(job_id)
        if again:  # the commit's answer was lost on the way, and the poller tries again
            repeated = self.outcomes[poller].record(recording)

            assert repeated.events == 0
            assert not repeated.completed

    def poll_now(self, which: int) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        done = self.book.poll_now(job_id)

        assert done == bool(row and not row.suspended)
        if done:
            row.is_due = True
            row.extra = row.token is not None

    def suspend_or_resume(self, which: int, suspended: bool) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        if row is None or row.job.origin:
            return
        view = self.book.set_suspended(job_id, suspended)

        assert view is not None
        assert view.job.suspended == suspended
        if suspended != row.suspended:
            row.suspended, row.is_due, row.extra = suspended, not suspended, False
            row.free()

    def edit(self, which: int, symbols: list[str], provider: str, pace: int) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        if row is None or row.job.origin is None:
            return
        before = row.job
        edited = a_job(
            *symbols,
            provider=provider,
            interval_seconds=self.seldom[provider][pace],
            origin=before.origin,
            job_id=before.job_id,
        )
        counts = self.book.sync("demo", [edited])

        assert (counts.changed, counts.unchanged) == ((0, 1) if edited == before else (1, 0))
        if edited == before:
            return
        row.job, row.is_due = edited, True
        row.extra = row.token is not None
        if edited.provider != before.provider:
            row.free()
            row.extra = False

    def delete(self, which: int) -> None:
        job_id = self.made[which % len(self.made)]
        row = self.rows.get(job_id)
        if row and row.job.origin:
            assert self.book.sync("demo", [], retire=[row.job.origin.uid]).retired == 1
        else:
            assert self.book.delete(job_id) == (row is not None)
        if row:
            self.deleted_polls += row.polls
            del self.rows[job_id]

    def everything_is_accounted_for(self) -> None:
        with self.engine.begin() as connection:
            polls = Counter(connection.scalars(sa.text("select job_id from polls")))
            outbox = connection.execute(sa.text("select count(*) from outbox")).scalar_one()
            scheduled = set(connection.scalars(sa.text("select job_id from polling_schedule")))
        assert sum(polls.values()) == sum(row.polls for row in self.rows.values()) + self.deleted_polls
        assert {job_id: row.polls for job_id, row in self.rows.items() if row.polls} == {
            job_id: count for job_id, count in polls.items() if job_id in self.rows
        }
        assert outbox == self.events
        assert scheduled == {job_id for job_id, row in self.rows.items() if not row.suspended}
        imbalance = PostgresLedger(self.engine).imbalance()
        assert (imbalance.polls, imbalance.events) == (0, 0)

    def holds(self, job: DueJob) -> bool:
        row = self.rows.get(job.job_id)
        return row is not None and row.token == job.lease_token

    def provider_of(self, job: DueJob) -> str:
        row = self.rows.get(job.job_id)
        return row.job.provider if row else PROVIDERS[0]


def _seldom_intervals(provider: str) -> tuple[int, ...]:
    longest = a_seldom_interval(provider)
    return longest, a_seldom_interval(provider, below=longest)


_WHICH = st.integers(0, 7)
_PACE = st.integers(0, 1)
_POLLER = st.sampled_from(POLLERS)
_SYMBOLS = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)
_ASKED = st.sampled_from(["ABCD", "ABCD", "ABCD", "A", "BC", ""]).map(set)


def _deed(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


_CLAIM = _deed("claim", poller=_POLLER, provider=st.sampled_from([PROVIDERS[0], *PROVIDERS]))
_ANSWER = _deed(
    "answer",
    poller=_POLLER,
    most_held=st.booleans(),
    take=st.integers(1, 4),
    asked=_ASKED,
    again=st.booleans(),
)
# Weighted by repetition.
_DEEDS = st.one_of(
    _CLAIM,
    _CLAIM,
    _CLAIM,
    _ANSWER,
    _ANSWER,
    _deed("falls_due", which=_WHICH),
    _deed("lease_ends", which=_WHICH),
    _deed("lease_ends", which=_WHICH),
    _deed("overtaken", poller=_POLLER),
    _deed("asked_for_meanwhile", poller=_POLLER),
    _deed("asked_for_meanwhile", poller=_POLLER),
    _deed("renew", poller=_POLLER),
    _deed("crash", poller=_POLLER),
    _deed("release", poller=_POLLER),
    _deed(
        "create",
        symbols=_SYMBOLS,
        provider=st.sampled_from(PROVIDERS),
        from_kubernetes=st.booleans(),
        pace=_PACE,
    ),
    _deed("poll_now", which=_WHICH),
    _deed("poll_now", which=_WHICH),
    _deed("suspend_or_resume", which=_WHICH, suspended=st.booleans()),
    _deed("edit", which=_WHICH, symbols=_SYMBOLS, provider=st.sampled_from(PROVIDERS), pace=_PACE),
    _deed("delete", which=_WHICH),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_DEEDS, min_size=50, max_size=80))
def test_the_queue_does_what_the_model_says(
    database: Database, deeds: list[tuple[str, dict[str, Any]]]
) -> None:
    model = Model(database.engine)
    for name, arguments in deeds:
        getattr(model, name)(**arguments)
        if name == "answer":
            model.everything_is_accounted_for()
    model.everything_is_accounted_for()
