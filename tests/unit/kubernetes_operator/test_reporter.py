"""When a status is written, on a clock that stands still until told to move."""

import threading
from dataclasses import dataclass, field

import pytest

from marketdata.clock import ManualClock
from marketdata.domain.job_status import JobStatus
from marketdata.errors import StoreUnavailable
from marketdata.steps import unobserved
from marketdata.telemetry.metrics import Metrics
from marketdata_operator.board import Board
from marketdata_operator.errors import KubernetesForbidden, ObjectChanged
from marketdata_operator.reporter import STORE_GRACE_SECONDS, Reporter
from marketdata_operator.status import Status
from marketdata_operator.telemetry import OperatorMetrics
from support.builders import at
from support.pollingjobs import a_standing, an_object


@dataclass
class RecordingKubernetes:
    """Takes every status, unless told to answer with an error; gives each a new version."""

    error: Exception | None = None
    event_error: Exception | None = None
    statuses: list[tuple[str, Status]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    version: int = 100

    def pages(self):
        return iter(())

    def apply_status(self, observed, status):
        if self.error is not None:
            raise self.error
        self.statuses.append((observed.name, status))
        self.version += 1
        return self.version

    def post_event(self, observed, happening):
        if self.event_error is not None:
            raise self.event_error
        self.events.append((observed.name, happening.reason))


@dataclass
class FixedStatuses:
    """Says what it was told, or that the store is away."""

    rows: dict[str, JobStatus] = field(default_factory=dict)
    is_away: bool = False

    def known(self):
        return {}

    def statuses(self):
        if self.is_away:
            raise StoreUnavailable
        return self.rows


class Bench:
    def __init__(self, rate):
        self.clock = ManualClock()
        self.board = Board()
        self.kubernetes = RecordingKubernetes()
        self.statuses = FixedStatuses()
        self.stop = threading.Event()
        self.reporter = Reporter(
            board=self.board,
            kubernetes=self.kubernetes,
            statuses=self.statuses,
            clock=self.clock,
            metrics=OperatorMetrics(Metrics(("marketdata_operator_",)), board=self.board, clock=self.clock),
            writes_per_second=rate,
            on_step=unobserved,
        )

    def see(self, name="tech", *, version=1, row=None, **body):
        self.board.observe(an_object(name, version=version, **body))
        if row is not None:
            self.statuses.rows[f"uid-{name}"] = a_standing(uid=f"uid-{name}", **row)

    def fare(self, name="tech", **row):
        """Let the job fare otherwise; its object stays as it is on the board."""
        self.statuses.rows[f"uid-{name}"] = a_standing(uid=f"uid-{name}", **row)

    def turn(self, seconds=0.0):
        self.clock.advance(seconds)
        return self.reporter.turn(self.stop)

    def written(self):
        return [name for name, _ in self.kubernetes.statuses]


@pytest.fixture
def bench():
    return Bench(rate=20)


def test_a_new_status_is_written_once(bench):
    bench.see(row={})
    bench.turn()
    bench.turn(1)

    assert bench.written() == ["tech"]
    assert bench.kubernetes.events == [("tech", "Valid"), ("tech", "Polling")]


def test_times_wait_for_a_minute_and_news_does_not(bench):
    bench.see(row={})
    bench.turn()
    bench.fare(last_poll_at=at(5))
    bench.turn(50)
    assert len(bench.written()) == 1

    bench.turn(15)
    assert len(bench.written()) == 2
    bench.fare(last_poll_at=at(9), fresh=3)
    bench.turn(1)
    assert len(bench.written()) == 3


def test_times_wait_longer_the_more_jobs_there_are():
    bench = Bench(rate=1)
    names = [f"job-{number:02}" for number in range(60)]
    for name in names:
        bench.see(name, row={})
    while bench.turn() == 0.0:
        pass
    assert sorted(bench.written()) == names

    last = bench.written()[-1]
    bench.fare(last, last_poll_at=at(5))
    bench.turn(100)
    assert bench.written().count(last) == 1
    bench.turn(25)  # 2 x 60 jobs / 1 a second = 120 s
    assert bench.written().count(last) == 2


def test_a_status_made_of_an_older_moment_waits_for_the_newer_one(bench):
    bench.see(row={})
    bench.kubernetes.error = ObjectChanged()
    bench.turn()
    bench.kubernetes.error = None
    bench.turn(1)
    assert bench.written() == []

    bench.see(row={}, version=2)
    bench.turn(1)
    assert bench.written() == ["tech"]


def test_an_outage_of_the_database_is_told_after_a_grace(bench):
    bench.see(row={})
    bench.turn()
    bench.statuses.is_away = True
    bench.turn(1)
    bench.turn(STORE_GRACE_SECONDS - 1)
    assert len(bench.written()) == 1
    assert bench.reporter.why_not() == "the database cannot be reached"

    bench.turn(1)
    status = bench.kubernetes.statuses[-1][1]
    assert status.condition("Ready").reason == "StoreUnavailable"
    assert status.job_id is not None
    bench.statuses.is_away = False
    bench.turn(1)
    assert bench.kubernetes.statuses[-1][1].condition("Ready").reason == "Polling"
    assert bench.reporter.why_not() is None


def test_missing_rights_are_waited_out(bench):
    bench.see(row={})
    bench.kubernetes.error = KubernetesForbidden("no")
    assert bench.turn() >= 2.0
    bench.kubernetes.error = None
    bench.turn(2)

    assert bench.written() == ["tech"]


def test_an_event_that_cannot_be_posted_costs_no_status(bench):
    bench.kubernetes.event_error = KubernetesForbidden("no")
    bench.see("one", row={})
    bench.see("two", row={})
    bench.turn()

    assert sorted(bench.written()) == ["one", "two"]


def test_what_is_known_comes_before_what_is_new():
    bench = Bench(rate=1)
    bench.see("known", row={})
    bench.turn()
    for number in range(20):
        bench.see(f"new-{number:02}", row={})
    bench.fare("known", suspended=True)
    bench.turn(60)

    assert bench.written()[1] == "known"
    assert len(bench.written()) < 20


def test_a_low_rate_is_slow_and_not_still():
    bench = Bench(rate=0.1)
    for number in range(3):
        bench.see(f"job-{number}", row={})
    for _ in range(12):
        bench.turn()

    assert len(bench.written()) == 3


def test_it_stops_writing_when_told_to():
    bench = Bench(rate=1)
    for number in range(20):
        bench.see(f"job-{number:02}", row={})
    bench.stop.set()
    bench.turn()

    assert bench.written() == []
