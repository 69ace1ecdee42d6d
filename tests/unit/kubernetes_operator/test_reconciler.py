"""When the reconciler ends, on a clock that stands still until told to move."""

import threading

import pytest

from marketdata.clock import ManualClock
from marketdata.steps import unobserved
from marketdata.storage.job_book import SyncCounts
from marketdata.telemetry.metrics import Metrics
from marketdata_operator.board import Board
from marketdata_operator.reconciler import Reconciler
from marketdata_operator.telemetry import OperatorMetrics
from support.pollingjobs import RELEASE, an_admission, an_object


class EmptyKubernetes:
    """Has no objects."""

    def pages(self):
        return iter(())

    def apply_status(self, observed, status):
        raise NotImplementedError

    def post_event(self, observed, happening):
        raise NotImplementedError


class CountingBook:
    """Takes every wish; has no rows."""

    def __init__(self):
        self.names = []

    def sync(self, release, jobs, *, retire=()):
        self.names += [(release, job.origin.name) for job in jobs]
        return SyncCounts(created=len(jobs), changed=0, unchanged=0, retired=len(retire))

    def get(self, job_id):
        raise NotImplementedError

    def known(self):
        return {}

    def statuses(self):
        return {}


class ClockOfTheLastMoment(ManualClock):
    """Lets the process be told to end while a change waits for others."""

    def __init__(self, board, stop):
        super().__init__()
        self.board = board
        self.stop = stop
        self.slept_on = 0

    def wait(self, seconds, stop):
        if stop is self.stop:
            self.stop.set()
            self.board.changed.set()
        elif not stop.is_set():
            self.slept_on += 1
        return super().wait(seconds, stop)


class FailingBook(CountingBook):
    """Takes no wish."""

    def sync(self, release, jobs, *, retire=()):
        raise RuntimeError(release, jobs, retire)


def a_reconciler(board, book, clock):
    return Reconciler(
        board=board,
        kubernetes=EmptyKubernetes(),
        book=book,
        statuses=book,
        admission=an_admission(),
        clock=clock,
        metrics=OperatorMetrics(Metrics(("marketdata_operator_",)), board=board, clock=clock),
        sweep_seconds=3600,
        on_step=unobserved,
    )


def test_what_could_not_be_written_waits_on_the_board_whatever_failed():
    board = Board()
    reconciler = a_reconciler(board, FailingBook(), ManualClock())
    board.observe(an_object("tech"))
    board.forget("uid-gone")

    with pytest.raises(RuntimeError):
        reconciler.drain()
    assert board.waiting() == 2


def test_who_is_told_to_end_while_a_change_is_taken_up_does_not_wait_for_the_next_sweep():
    board, stop, book = Board(), threading.Event(), CountingBook()
    clock = ClockOfTheLastMoment(board, stop)
    reconciler = a_reconciler(board, book, clock)
    reconciler.sweep()
    board.observe(an_object("tech"))

    reconciler.run(stop, lambda: None)

    assert book.names == [(RELEASE, "tech")]
    assert clock.slept_on == 0
