"""A release is upgraded and rolled back while prices flow: no request is dropped and no event is lost."""

import os
from typing import Any

import pytest

from support.asking import Told, asking
from support.releases import Release
from support.waiting import eventually

pytestmark = pytest.mark.cluster

# Built by tests/cluster/next_release: another version, and a migration.
NEXT = os.environ.get("TEST_NEXT_IMAGE_TAG", "test-next")  # noqa: TID251 - the run's own knob


def ended_well(release: Release, told: Told, symbol: str) -> None:
    """Assert that each request was answered, each event is accounted for, each price told kept once."""
    assert told.asked > 100
    assert told.wrong == []
    ledger = release.settled()
    assert all(each["created"] == each["stored"] + each["superseded"] for each in ledger["events"]), ledger
    assert all(each["dead"] == 0 for each in ledger["events"]), ledger
    history: dict[str, list[dict[str, Any]]] = {}
    for point in release.history(symbol):
        history.setdefault(point["raw_response_id"], []).append(point)
    assert len(told.prices) > 5
    kept = {raw: [[each["timestamp"], each["price"]] for each in history.get(raw, [])] for raw in told.prices}
    assert kept == {raw: [price] for raw, price in told.prices.items()}


def flows_for_a_while(release: Release) -> None:
    """Wait for 15 prices of each symbol, so that some are told even where a rollout took all the time."""
    release.stores_more_than(release.ledger()["counters"]["stored"] + 30)


def answers(release: Release, version: dict[str, Any]) -> None:
    """Wait until all pods are of one release, and it is the one of `version`.

    Helm waits for the new pods to be ready, and the last of the old ones may still answer then.
    """
    eventually(release.is_ready, within=120, every=1)
    eventually(lambda: release.ask("GET", "/version") == (200, version), within=30, every=1)


def test_a_changed_setting_and_its_rollback_drop_no_request_and_lose_no_event(release: Release) -> None:
    job = release.poll("AAPL", "MSFT")
    with asking(release, "AAPL") as told:
        release.upgrade("logging.level=debug")
        eventually(release.is_ready, within=120, every=1)
        deployment = release.get("deployment", f"{release.name}-market-data-consumer")
        env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "MARKETDATA_LOG_LEVEL", "value": "debug"} in env
        release.rollback()
        eventually(release.is_ready, within=120, every=1)
        flows_for_a_while(release)
    release.retire(job)
    ended_well(release, told, "AAPL")


def test_a_new_image_that_migrates_and_its_rollback_drop_no_request_and_lose_no_event(
    release: Release,
) -> None:
    job = release.poll("GOOG", "ORCL")
    _, before = release.ask("GET", "/version")
    with asking(release, "GOOG") as told:
        release.upgrade(f"image.tag={NEXT}")
        answers(release, {"version": "99.0.0", "schema_revision": 2})
        at_next = release.ledger()["counters"]["stored"]
        release.rollback()
        answers(release, before)
        release.stores_more_than(at_next)
        flows_for_a_while(release)
    release.retire(job)
    ended_well(release, told, "GOOG")
    assert release.query("select revision from schema_state") == [[2]], "the schema did not stay"
