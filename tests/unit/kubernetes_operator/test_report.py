"""Status, its news, and the events they are worth."""

import msgspec
import pytest

from marketdata.domain.job import Slo
from marketdata.domain.promise import Kept, Standing
from marketdata_operator import report
from marketdata_operator.status import Change, Status, change, read
from support.builders import NOON, at
from support.pollingjobs import a_standing, an_object

FAILING = {"NOSUCH": {"reason": "unknown_symbol", "message": "no such symbol", "since": NOON.isoformat()}}


def written(observed, row, *, now=NOON, is_store_away=False, seldom_seconds=60.0):
    return report.status(observed, row, now=now, is_store_away=is_store_away, seldom_seconds=seldom_seconds)


def plain(status):
    """Return the status as it travels."""
    return msgspec.json.decode(msgspec.json.encode(status))


def again(status, **body):
    """Return the object with `status` written to it, as it is read back."""
    return an_object(status=plain(status), **body)


def test_a_status_says_what_kubectl_shows():
    status = plain(
        written(
            an_object(symbols=["A", "B", "C", "NOSUCH"]),
            a_standing(fresh=3, failing=FAILING, failing_count=1),
        )
    )
    conditions = status.pop("conditions")

    assert status == {
        "observedGeneration": 1,
        "jobID": "00000000-0000-0000-0000-000000000001",
        "provider": "synthetic",
        "symbolCount": 4,
        "intervalSeconds": 60,
        "lastScheduleTime": "2026-03-02T12:00:00Z",
        "lastSuccessfulTime": "2026-03-02T12:00:00Z",
        "nextPollTime": "2026-03-02T12:00:00Z",
        "consecutiveFailures": 0,
        "failedSymbols": [
            {
                "symbol": "NOSUCH",
                "reason": "UnknownSymbol",
                "message": "no such symbol",
                "since": "2026-03-02T12:00:00Z",
            }
        ],
        "failedSymbolCount": 1,
    }
    assert [each["type"] for each in conditions] == ["Accepted", "Scheduled", "Fresh", "Ready"]
    assert {each["lastTransitionTime"] for each in conditions} == {"2026-03-02T12:00:00Z"}


def test_a_status_that_was_written_is_read_back_as_itself():
    status = written(an_object(), a_standing(failing=FAILING))

    assert read(plain(status)) == status
    assert change(again(status).status, written(again(status), a_standing(failing=FAILING))) is Change.NONE


def test_what_other_writers_add_is_no_news():
    status = plain(written(an_object(), a_standing()))
    status["conditions"].append({"type": "Audited", "status": "True"})
    status["auditor"] = "somebody"

    assert read(status) == written(an_object(), a_standing())


@pytest.mark.parametrize("garbage", [{"conditions": [{"type": "Ready"}]}, {"symbolCount": "four"}, {}, None])
def test_a_status_that_cannot_be_read_is_as_if_absent(garbage):
    assert read(garbage) == Status()


def test_a_transition_time_is_kept_while_the_status_is():
    first = written(an_object(), a_standing(), now=NOON)
    second = written(again(first), a_standing(fresh=3, stale=("A",)), now=at(60))
    third = written(again(second), a_standing(suspended=True), now=at(120))

    assert first.condition("Ready").last_transition_time == second.condition("Ready").last_transition_time
    assert second.condition("Ready").reason == "PartlyFresh"
    assert third.condition("Ready").last_transition_time == "2026-03-02T12:02:00Z"
    assert third.condition("Accepted").last_transition_time == "2026-03-02T12:00:00Z"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({}, Change.NONE),
        ({"last_poll_at": at(9)}, Change.TIMES),
        ({"consecutive_failures": 1}, Change.TIMES),
        ({"due_at": at(60)}, Change.TIMES),
        ({"fresh": 3}, Change.NEWS),
        ({"suspended": True}, Change.NEWS),
        ({"failing": FAILING}, Change.NEWS),
    ],
    ids=str,
)
def test_news_is_told_apart_from_times_moving_on(row, found):
    before = again(written(an_object(), a_standing()))

    assert change(before.status, written(before, a_standing(**row), now=at(9))) is found


def test_another_generation_is_news():
    before = again(written(an_object(), a_standing()), generation=2)

    assert change(before.status, written(before, a_standing(generation=2))) is Change.NEWS


def test_a_next_poll_that_is_over_before_the_next_write_is_left_out():
    row = a_standing(interval_seconds=60)

    assert written(an_object(), row, seldom_seconds=60).next_poll_time == "2026-03-02T12:00:00Z"
    assert written(an_object(), row, seldom_seconds=61).next_poll_time is None


def test_the_figures_stay_as_they_were_while_the_database_is_away():
    before = again(written(an_object(), a_standing()))
    after = written(before, None, is_store_away=True)

    assert (after.last_successful_time, after.job_id) == (
        before.status.last_successful_time,
        before.status.job_id,
    )
    assert after.condition("Ready").reason == "StoreUnavailable"


def test_a_refused_object_shows_what_it_asked_for():
    status = written(an_object(symbols=["A", "B"], provider="bloomberg", interval="5m"), None)

    assert (status.provider, status.symbol_count, status.interval_seconds) == ("bloomberg", 2, 300)


def test_a_promise_is_shown_with_how_it_is_kept():
    row = a_standing(slo=Slo(60, "99.9"), standing=Standing(Kept(1000, 999), Kept(4000, 3998)))

    assert plain(written(an_object(), row))["slo"] == {
        "target": "99.9",
        "lastDay": "99.9",
        "last30Days": "99.95",
        "budgetRemaining": "50",
    }


def test_a_broken_promise_shows_a_budget_below_nothing():
    row = a_standing(slo=Slo(60, "99"), standing=Standing(Kept(), Kept(100, 90)))

    assert plain(written(an_object(), row))["slo"] == {
        "target": "99",
        "last30Days": "90",
        "budgetRemaining": "-900",
    }


def test_a_promise_of_which_nothing_is_known_yet_shows_its_target_alone():
    assert plain(written(an_object(), a_standing(slo=Slo(60, "99"))))["slo"] == {"target": "99"}


def test_how_a_promise_is_kept_is_read_back_and_written_as_seldom_as_times():
    def row(kept):
        return a_standing(slo=Slo(60, "99"), standing=Standing(Kept(100, kept), Kept(100, kept)))

    before = again(written(an_object(), row(99)))

    assert before.status.slo is not None
    assert change(before.status, written(before, row(99))) is Change.NONE
    assert change(before.status, written(before, row(98))) is Change.TIMES


def test_how_a_promise_was_kept_stays_while_the_database_is_away():
    row = a_standing(slo=Slo(60, "99"), standing=Standing(Kept(100, 99), Kept(100, 99)))
    before = again(written(an_object(), row))

    assert written(before, None, is_store_away=True).slo == before.status.slo


def told(before, after):
    return [(each.kind, each.reason) for each in report.happenings(before, after)]


def test_events_tell_transitions_only():
    new = written(an_object(), None)
    well = written(again(new), a_standing())
    partly = written(again(well), a_standing(fresh=3))
    failing = written(again(partly), a_standing(fresh=0, consecutive_failures=3, last_reason="rate_limited"))
    paused = written(again(well), a_standing(suspended=True))

    assert told(Status(), new) == [("Normal", "Valid")]
    assert told(new, well) == [("Normal", "Polling")]
    assert told(well, well) == []
    assert told(well, partly) == []
    assert told(partly, failing) == [("Warning", "ProviderThrottled")]
    assert told(failing, well) == [("Normal", "Polling")]
    assert told(well, paused) == [("Normal", "Suspended")]


def test_a_refusal_is_told_once_and_as_a_warning():
    refused = written(an_object(provider="bloomberg"), None)

    assert told(Status(), refused) == [("Warning", "UnknownProvider")]
