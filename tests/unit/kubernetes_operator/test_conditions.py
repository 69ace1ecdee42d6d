"""The four conditions, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata_operator.conditions import findings
from support.builders import NOON
from support.pollingjobs import a_standing, an_object

FAILING = {"fresh": 0, "polled": 0, "consecutive_failures": 3, "last_reason": "upstream_unavailable"}
UNKNOWN_SYMBOL = {"reason": "unknown_symbol", "message": "no such symbol", "since": NOON.isoformat()}

REGISTERED = "Accepted=True/Valid Scheduled=True/Registered"


def summary(observed, row, **more):
    """Return each condition as 'Type=Status/Reason'."""
    found = findings(observed, row, is_store_away=more.pop("is_store_away", False))
    return " ".join(f"{each.type}={each.status}/{each.reason}" for each in found)


CASES = {
    "new": (
        None,
        "Accepted=True/Valid Scheduled=Unknown/Pending Fresh=Unknown/Pending Ready=Unknown/Pending",
    ),
    "well": ({}, f"{REGISTERED} Fresh=True/Polling Ready=True/Polling"),
    "not polled yet": (
        {"fresh": 0, "polled": 0, "last_poll_at": None, "last_success_at": None},
        f"{REGISTERED} Fresh=Unknown/NeverPolled Ready=Unknown/NeverPolled",
    ),
    "just changed": (
        {"fresh": 0, "is_young": True},
        f"{REGISTERED} Fresh=Unknown/Pending Ready=Unknown/Pending",
    ),
    "one symbol fails": (
        {"fresh": 3, "stale": ("NOSUCH",), "failing": {"NOSUCH": UNKNOWN_SYMBOL}},
        f"{REGISTERED} Fresh=True/PartlyFresh Ready=True/PartlyFresh",
    ),
    "market closed": (
        {"closed": 4},
        f"{REGISTERED} Fresh=True/MarketClosed Ready=True/MarketClosed",
    ),
    "one market closed": (
        {"closed": 3},
        f"{REGISTERED} Fresh=True/Polling Ready=True/Polling",
    ),
    "suspended": (
        {"suspended": True, "due_at": None},
        "Accepted=True/Valid Scheduled=False/Suspended Fresh=Unknown/Suspended Ready=False/Suspended",
    ),
    "all failing": (
        FAILING,
        f"{REGISTERED} Fresh=False/ProviderError Ready=False/ProviderError",
    ),
    "failing, tolerated": (
        {**FAILING, "consecutive_failures": 2},
        f"{REGISTERED} Fresh=False/ProviderError Ready=True/Retrying",
    ),
    "failing from the start, tolerated": (
        {**FAILING, "consecutive_failures": 2, "last_success_at": None},
        f"{REGISTERED} Fresh=False/ProviderError Ready=Unknown/ProviderError",
    ),
    "failing while another job keeps a symbol fresh": (
        {**FAILING, "fresh": 1},
        f"{REGISTERED} Fresh=True/PartlyFresh Ready=True/PartlyFresh",
    ),
    "throttled": (
        {**FAILING, "last_reason": "rate_limited"},
        f"{REGISTERED} Fresh=False/ProviderThrottled Ready=False/ProviderThrottled",
    ),
    "no such symbols": (
        {**FAILING, "last_reason": "unknown_symbol"},
        f"{REGISTERED} Fresh=False/NoSuchSymbols Ready=False/NoSuchSymbols",
    ),
    "provider without its key": (
        {**FAILING, "last_reason": "misconfigured"},
        f"{REGISTERED} Fresh=False/ProviderUnavailable Ready=False/ProviderUnavailable",
    ),
    "no poller": (
        {"fresh": 0, "polled": 0, "is_overdue": True},
        f"{REGISTERED} Fresh=False/PollsDelayed Ready=False/PollsDelayed",
    ),
    "consumer behind": (
        {"fresh": 0},
        f"{REGISTERED} Fresh=False/PricesDelayed Ready=False/PricesDelayed",
    ),
}


@pytest.mark.parametrize(("row", "wanted"), CASES.values(), ids=CASES.keys())
def test_conditions_tell_how_a_job_fares(row, wanted):
    assert summary(an_object(), None if row is None else a_standing(**row)) == wanted


def test_a_change_that_is_not_registered_yet_is_pending():
    observed = an_object(generation=2)

    assert "Scheduled=Unknown/Pending" in summary(observed, a_standing(generation=1))
    assert "Scheduled=True/Registered" in summary(observed, a_standing(generation=2))


@pytest.mark.parametrize("row", [None, a_standing()], ids=["new", "known"])
def test_nothing_is_claimed_while_the_database_is_away(row):
    assert summary(an_object(), row, is_store_away=True) == (
        "Accepted=True/Valid Scheduled=Unknown/StoreUnavailable Fresh=Unknown/StoreUnavailable "
        "Ready=Unknown/StoreUnavailable"
    )


def test_a_refused_object_says_what_is_polled_instead():
    observed = an_object(provider="bloomberg", generation=2)

    assert summary(observed, None) == (
        "Accepted=False/UnknownProvider Scheduled=False/NotAccepted Fresh=Unknown/NotAccepted "
        "Ready=False/UnknownProvider"
    )
    assert summary(observed, a_standing()) == (
        "Accepted=False/UnknownProvider Scheduled=True/PreviousSpec Fresh=True/Polling "
        "Ready=False/UnknownProvider"
    )
    scheduled = findings(observed, a_standing(), is_store_away=False)[1]
    assert scheduled.message == "what generation 1 said is polled still: 4 symbols from synthetic each 1m"


def test_the_symbols_that_are_not_fresh_are_named_with_their_reason():
    row = a_standing(
        symbol_count=9, fresh=2, stale=("A", "B", "C", "D", "NOSUCH"), failing={"NOSUCH": UNKNOWN_SYMBOL}
    )

    message = findings(an_object(), row, is_store_away=False)[3].message

    assert message == "2 of 9 symbols are current; not A, B, C, D, NOSUCH (UnknownSymbol) and 2 more"


def test_a_failure_is_told_in_the_providers_words():
    row = a_standing(
        **{**FAILING, "failing": {"A": {"reason": "upstream_unavailable", "message": "503 from upstream"}}}
    )

    message = findings(an_object(), row, is_store_away=False)[3].message

    assert message == "none of 4 symbols has a current price from synthetic: 503 from upstream"


rows = st.builds(
    lambda fresh, closed, polled, failures, threshold, **more: a_standing(
        fresh=fresh, closed=min(closed, fresh), polled=polled, consecutive_failures=failures,
        failure_threshold=threshold, **more,
    ),
    st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 5), st.integers(1, 5),
    suspended=st.booleans(), is_young=st.booleans(), is_overdue=st.booleans(), generation=st.integers(1, 3),
    last_poll_at=st.none() | st.just(NOON), last_success_at=st.none() | st.just(NOON),
    last_reason=st.none() | st.sampled_from(["rate_limited", "unknown_symbol", "bad_response"]),
)  # fmt: skip


@given(
    row=st.none() | rows,
    provider=st.sampled_from(["synthetic", "bloomberg"]),
    generation=st.integers(1, 3),
    is_store_away=st.booleans(),
)
def test_the_conditions_never_contradict_each_other(row, provider, generation, is_store_away):
    observed = an_object(provider=provider, generation=generation)
    accepted, scheduled, fresh, ready = findings(observed, row, is_store_away=is_store_away)

    assert [each.type for each in (accepted, scheduled, fresh, ready)] == [
        "Accepted",
        "Scheduled",
        "Fresh",
        "Ready",
    ]
    assert all(each.message and each.reason for each in (accepted, scheduled, fresh, ready))
    if ready.status == "True":
        assert accepted.status == "True"
        assert fresh.status == "True" or ready.reason == "Retrying"
        assert row is not None
        assert not row.suspended
    if fresh.status == "True" and accepted.status == "True":
        assert ready.status == "True"
    if accepted.status == "False":
        assert ready.status == "False"
