"""What users read of their objects, and how often it is written."""

import json
import time

from marketdata_operator.reporter import LONGEST_PAUSE_SECONDS
from support.waiting import eventually, holds

# To end a hang: after a look at the rows that took 1.5 s the reporter rests for as long as it ever does.
SHOWN = LONGEST_PAUSE_SECONDS + 30
SEED = {"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "synthetic"}
SERVED = """
    insert into latest_prices
      (provider, symbol, observed_at, price, fetched_at, raw_response_id, market_state)
    select 'synthetic', unnest(cast(:symbols as text[])), now(), 1, now(), gen_random_uuid(), :market
    on conflict (provider, symbol) do update
      set fetched_at = excluded.fetched_at, market_state = excluded.market_state
"""
POLLED = """
    update job_states set last_poll_at = now(), last_success_at = now(), consecutive_failures = 0,
      failing = :failing
"""
FAILED = """
    update job_states set last_poll_at = now(), consecutive_failures = 3, last_reason = 'rate_limited',
      failing = :failing
"""
NOT_DUE = "update polling_schedule set due_at = now() + interval '1 hour'"


def events(world):
    return [(each["type"], each["reason"]) for each in world.cluster.events]


def never_polled(world):
    """Apply an object, and return when it says so and goes on saying so: a due one is called late soon."""
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=60)
    world.execute(NOT_DUE)
    eventually(lambda: world.condition("tech") == ("Unknown", "NeverPolled"), within=SHOWN)


def test_an_object_is_ready_once_its_prices_are_served(world):
    world.operator()
    never_polled(world)

    world.execute(SERVED, symbols=["AAPL"], market="REGULAR")
    world.execute(POLLED, failing="{}")  # not before: polled, and no price served, is a failure
    eventually(lambda: world.condition("tech") == ("True", "PartlyFresh"), within=SHOWN)
    world.execute(SERVED, symbols=["AAPL", "MSFT"], market="REGULAR")
    eventually(lambda: world.condition("tech") == ("True", "Polling"), within=SHOWN)
    world.execute(SERVED, symbols=["AAPL", "MSFT"], market="CLOSED")
    eventually(lambda: world.condition("tech") == ("True", "MarketClosed"), within=SHOWN)

    status = world.cluster.get("tech")["status"]
    assert (status["symbolCount"], status["intervalSeconds"], status["observedGeneration"]) == (2, 60, 1)
    assert status["jobID"] == str(world.rows()["tech"].job_id)
    assert events(world) == [("Normal", "Valid"), ("Normal", "PartlyFresh")]


def test_a_failing_symbol_is_named_and_the_job_stays_ready(world):
    world.operator()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=60)
    failing = {
        "MSFT": {
            "reason": "unknown_symbol",
            "message": "no such symbol",
            "since": "2026-03-02T12:00:00+00:00",
        }
    }
    world.execute(SERVED, symbols=["AAPL"], market="REGULAR")
    world.execute(POLLED, failing=json.dumps(failing))

    eventually(lambda: world.cluster.get("tech").get("status", {}).get("failedSymbols"), within=SHOWN)
    assert world.cluster.get("tech")["status"]["failedSymbols"] == [
        {
            "symbol": "MSFT",
            "reason": "UnknownSymbol",
            "message": "no such symbol",
            "since": "2026-03-02T12:00:00Z",
        }
    ]
    assert world.condition("tech") == ("True", "PartlyFresh")


def test_a_job_without_any_price_is_not_ready_and_a_warning_says_why(world):
    world.operator()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.rows().get("tech"), within=60)
    world.execute(
        FAILED, failing=json.dumps({"AAPL": {"reason": "rate_limited", "message": "429", "since": ""}})
    )

    eventually(lambda: world.condition("tech") == ("False", "ProviderThrottled"), within=SHOWN)
    eventually(lambda: ("Warning", "ProviderThrottled") in events(world), within=SHOWN)


def test_times_alone_are_written_seldom(world):
    world.operator()
    never_polled(world)
    world.execute(SERVED, symbols=["AAPL", "MSFT"], market="REGULAR")
    eventually(lambda: world.condition("tech") == ("True", "Polling"), within=SHOWN)
    patches = world.cluster.requests["patch"]

    def poll_again():
        world.execute(POLLED, failing="{}")
        return world.cluster.requests["patch"] == patches

    holds(poll_again, during=4.0)


def test_statuses_are_written_no_faster_than_allowed_and_none_is_forgotten(world):
    world.make(60, suspend=True)
    world.operator(MARKETDATA_OPERATOR_STATUS_WRITES_PER_SECOND=20)
    began = time.monotonic()

    def writes():
        return world.cluster.requests["patch"] + world.cluster.requests["create"]

    def has_begun():
        nonlocal began
        before = time.monotonic()
        if writes():
            return True
        began = before
        return False

    eventually(has_begun, within=60)

    # Each object costs a status and two events: 180 in all. One second's burst and one on its way apart,
    # there are as many as the time since the last look that found none allows.
    holds(lambda: writes() <= 20 + 1 + 20 * (time.monotonic() - began), during=4.0)
    eventually(lambda: all(world.condition(name) for name in world.cluster.names()), within=SHOWN)


def test_a_change_is_shown_before_the_first_statuses_of_a_mass_of_new_objects(world):
    world.cluster.apply("first", SEED)
    world.watching(MARKETDATA_OPERATOR_STATUS_WRITES_PER_SECOND=10)
    eventually(lambda: world.condition("first"), within=SHOWN)
    world.make(100)
    eventually(lambda: len(world.rows()) == 101, within=20)

    world.cluster.apply("first", {**SEED, "suspend": True})
    eventually(lambda: world.condition("first") == ("False", "Suspended"), within=SHOWN)
    assert not all(world.condition(name) for name in world.cluster.names())


def test_another_writers_condition_is_left_alone(world):
    world.watching()
    world.cluster.apply("tech", SEED)
    eventually(lambda: world.condition("tech"), within=SHOWN)
    audited = {"type": "Audited", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": ""}
    standing = world.cluster.get("tech")
    world.cluster.apply_status(
        ("default", "tech"),
        "auditor",
        {"metadata": {}, "status": {**standing["status"], "conditions": [audited]}},
    )
    world.cluster.apply("tech", {**SEED, "suspend": True})

    eventually(lambda: world.condition("tech") == ("False", "Suspended"), within=SHOWN)
    assert world.condition("tech", "Audited") == ("True", "Done")


def test_a_status_that_is_refused_is_not_sent_over_and_over_and_harms_no_other(world):
    world.cluster.refused_status = "bad"
    world.cluster.apply("bad", SEED)
    world.cluster.apply("good", SEED)
    process = world.operator()
    process.says("status refused")
    eventually(lambda: world.condition("good"), within=SHOWN)
    patches = world.cluster.requests["patch"]

    holds(lambda: world.cluster.requests["patch"] <= patches + 1, during=3.0)
