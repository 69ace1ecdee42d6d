"""Merging due jobs into the fewest requests."""

import math
from datetime import timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.poll import DueJob, Outcome, SymbolOutcome, answers
from marketdata_poller.plan import concerned, plan, shortest_intervals
from support.builders import at

SYMBOLS = [f"S{number}" for number in range(12)]
_jobs = st.lists(
    st.builds(
        lambda symbols, tick, interval: DueJob(uuid4(), at(tick), uuid4(), interval, tuple(symbols)),
        st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=8, unique=True),
        st.integers(0, 5),
        st.integers(1, 60),
    ),
    max_size=10,
)
_known = st.dictionaries(
    st.sampled_from(SYMBOLS),
    st.builds(lambda asked: SymbolOutcome(Outcome.FRESH, at(asked)), st.integers(-3, 8)),
)


@given(_jobs, _known, st.integers(1, 5))
def test_each_missing_symbol_is_asked_for_once_and_no_other(jobs, known, most):
    found = plan(jobs, known, max_symbols=most)
    asked = [symbol for request in found.requests for symbol in request]
    missing = {s for job in jobs for s in job.symbols if not answers(known.get(s), job)}

    assert sorted(asked) == sorted(missing)


@given(_jobs, _known, st.integers(1, 5))
def test_requests_are_as_few_as_the_provider_allows(jobs, known, most):
    found = plan(jobs, known, max_symbols=most)
    asked = sum(len(request) for request in found.requests)

    assert len(found.requests) == math.ceil(asked / most)
    assert all(1 <= len(request) <= most for request in found.requests)


@given(_jobs, _known, st.integers(1, 5))
def test_a_job_is_complete_exactly_when_all_its_symbols_were_asked_for_since_its_tick(jobs, known, most):
    found = plan(jobs, known, max_symbols=most)

    assert list(found.complete) == [
        job for job in jobs if all(s in known and known[s].asked_at >= job.tick_at for s in job.symbols)
    ]


@given(_jobs, _known, st.integers(1, 5))
def test_serving_the_requests_one_by_one_completes_every_job_in_as_many_steps(jobs, known, most):
    planned = len(plan(jobs, known, max_symbols=most).requests)
    left, served, now = list(jobs), 0, at(100)
    while left:
        todo = plan(left, known, max_symbols=most)
        if todo.requests:
            known = known | {s: SymbolOutcome(Outcome.FRESH, now) for s in todo.requests[0]}
            served += 1
        left = [job for job in left if job not in todo.complete]

    assert served == planned


def test_the_symbol_known_for_longest_goes_first_so_a_small_budget_goes_round():
    job = DueJob(uuid4(), at(60), uuid4(), 60, ("A", "B", "C"))
    known = {"A": SymbolOutcome(Outcome.FRESH, at(50)), "B": SymbolOutcome(Outcome.FRESH, at(40))}

    assert plan([job], known, max_symbols=1).requests == (("C",), ("B",), ("A",))


def test_the_same_symbol_in_a_hundred_jobs_is_one_request():
    jobs = [DueJob(uuid4(), at(60), uuid4(), 60, ("AAPL",)) for _ in range(100)]

    assert plan(jobs, {}, max_symbols=90).requests == (("AAPL",),)


def test_an_event_carries_the_shortest_interval_at_which_its_symbol_is_asked_for():
    slow = DueJob(uuid4(), at(0), uuid4(), 300, ("A", "B"))
    quick = DueJob(uuid4(), at(0), uuid4(), 5, ("B", "C"))

    assert shortest_intervals([slow, quick], ["A", "B"], {}) == {"A": 300, "B": 5}
    assert concerned([slow, quick], ["C"]) == [quick]


def test_a_job_that_is_not_due_now_counts_for_the_interval_too():
    slow = DueJob(uuid4(), at(0), uuid4(), 86_400, ("A", "B", "C"))
    others = {"A": 5, "B": 90_000, "D": 1}

    assert shortest_intervals([slow], ["A", "B", "C"], others) == {"A": 5, "B": 86_400, "C": 86_400}


def test_an_answer_asked_for_before_the_tick_serves_nobody():
    job = DueJob(uuid4(), at(60), uuid4(), 60, ("A",))

    assert answers(SymbolOutcome(Outcome.FRESH, at(60)), job)
    assert not answers(SymbolOutcome(Outcome.FRESH, at(60) - timedelta(microseconds=1)), job)
