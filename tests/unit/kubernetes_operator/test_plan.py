"""What a sweep changes, and what the brake holds back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata_operator.plan import ALWAYS_RETIRED, RETIRED_SHARE, plan
from support.pollingjobs import a_row, an_admission, an_object


def objects(count, **body):
    return {each.uid: each for each in (an_object(f"job-{n}", **body) for n in range(count))}


def rows(wished):
    return {uid: a_row(each) for uid, each in wished.items()}


def test_rows_that_say_what_their_objects_say_are_left_alone():
    wished = objects(50)

    assert plan(wished, rows(wished), held_before=frozenset()).is_empty


def test_an_object_without_a_row_gets_one():
    wished = objects(2)
    known = {uid: row for uid, row in rows(wished).items() if uid != "uid-job-1"}

    assert [job.origin.name for job in plan(wished, known, held_before=frozenset()).upserts] == ["job-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"symbols": ["MSFT"]},
        {"interval": "5m"},
        {"provider": "yfinance"},
        {"suspend": True},
        {"failureThreshold": 9},
        {"slo": {"maxAgeSeconds": 60}},
        {"generation": 2},
        {"annotations": {"marketdata.dev/poll-now": "1"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_differs_in_anything_is_written_again(change):
    (uid, row), = rows(objects(1)).items()  # fmt: skip
    wished = an_object("job-0", **change)

    assert plan({uid: wished}, {uid: row}, held_before=frozenset()).upserts == (wished.wish,)


def test_another_default_provider_moves_the_jobs_that_name_none():
    before, after = an_object(), an_object(admission=an_admission(default_provider="yfinance"))

    planned = plan({after.uid: after}, {before.uid: a_row(before)}, held_before=frozenset())

    assert [job.provider for job in planned.upserts] == ["yfinance"]


def test_a_refused_object_keeps_its_row_and_can_only_suspend_it():
    before = an_object()
    known = {before.uid: a_row(before)}
    refused = an_object(provider="bloomberg", generation=2)
    paused = an_object(provider="bloomberg", generation=2, suspend=True)

    assert plan({refused.uid: refused}, known, held_before=frozenset()).is_empty
    assert plan({paused.uid: paused}, known, held_before=frozenset()).pauses == (before.job_id,)


def test_a_refused_object_does_not_resume_its_suspended_row():
    before = an_object(suspend=True)
    refused = an_object(provider="bloomberg", suspend=False, generation=2)

    assert plan({refused.uid: refused}, {before.uid: a_row(before)}, held_before=frozenset()).is_empty


@pytest.mark.parametrize(
    ("rows_there", "absent", "retired"), [(3, 3, 3), (5, 5, 5), (6, 6, 0), (100, 20, 20), (100, 21, 0)]
)
def test_the_brake_comes_on_above_five_rows_and_above_a_fifth(rows_there, absent, retired):
    everything = objects(rows_there)
    wished = dict(list(everything.items())[absent:])

    planned = plan(wished, rows(everything), held_before=frozenset())

    assert len(planned.retire) == retired
    assert len(planned.held) == absent - retired


def test_what_two_sweeps_in_a_row_do_not_find_is_retired():
    known = rows(objects(100))
    first = plan({}, known, held_before=frozenset())
    second = plan({}, known, held_before=first.held)

    assert (len(first.retire), len(second.retire), second.held) == (0, 100, frozenset())


def test_what_comes_back_between_two_sweeps_is_kept():
    everything = objects(100)
    back = dict(list(everything.items())[:60])
    first = plan({}, rows(everything), held_before=frozenset())

    second = plan(back, rows(everything), held_before=first.held)

    assert set(second.retire) == everything.keys() - back.keys()


@given(
    known=st.sets(st.integers(0, 40)), wished=st.sets(st.integers(0, 40)), held=st.sets(st.integers(0, 40))
)
def test_every_absent_row_is_retired_or_held_and_no_present_one_is(known, wished, held):
    uid = "uid-job-{}".format
    there = {uid(n): a_row(an_object(f"job-{n}")) for n in known}
    here = {uid(n): an_object(f"job-{n}") for n in wished}

    planned = plan(here, there, held_before=frozenset(map(uid, held)))

    assert set(planned.retire) | planned.held == there.keys() - here.keys()
    assert not set(planned.retire) & planned.held
    assert {job.origin.uid for job in planned.upserts} == here.keys() - there.keys()
    limit = max(ALWAYS_RETIRED, int(len(there) * RETIRED_SHARE))
    assert len(planned.retire) <= limit or set(planned.retire) <= set(map(uid, held))
