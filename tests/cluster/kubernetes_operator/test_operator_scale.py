"""Two thousand PollingJobs."""

import json
import sys

import httpx
import pytest
import sqlalchemy as sa

from marketdata.clock import SystemClock
from support.faults import memory_bytes
from support.real_kubernetes import a_manifest
from support.waiting import eventually

pytestmark = pytest.mark.cluster

JOBS = 2_000
SWEEP_SECONDS = 10  # three of them are waited for
ROWS_WITHIN_SECONDS = 60
MEMORY_LIMIT = 256 * 1024 * 1024


def versions(place):
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in place.items()}


def written(world):
    """Return what tells of any write to the rows."""
    query = "select count(*), max(updated_at), max(xmin::text::bigint) from polling_jobs"
    with world.database.engine.connect() as connection:
        return tuple(connection.execute(sa.text(query)).one())


@pytest.mark.timeout(900)
def test_two_thousand_objects_are_rows_within_a_minute_and_a_sweep_without_news_writes_nothing(
    world,
):
    figures = {}
    clock = SystemClock()
    process = world.operator(
        MARKETDATA_OPERATOR_SWEEP_SECONDS=SWEEP_SECONDS, MARKETDATA_OPERATOR_STATUS_WRITES_PER_SECOND=200
    )
    spec = {"symbols": ["AAPL", "MSFT", "NVDA"], "interval": "1h", "provider": "synthetic", "suspend": True}
    manifests = [a_manifest(f"job-{number:04}", spec) for number in range(JOBS)]
    began = clock.monotonic()
    world.place.kubectl("create", "-f", "-", stdin="\n---\n".join(map(json.dumps, manifests)))
    created = clock.monotonic()
    eventually(lambda: len(world.rows()) == JOBS, within=ROWS_WITHIN_SECONDS, every=0.5)
    figures["seconds to create"] = round(created - began, 1)
    figures["seconds from there to all rows"] = round(clock.monotonic() - created, 1)

    eventually(lambda: _pending(world) == 0 and _are_told(world.place), within=300, every=2.0)
    figures["seconds from there to all statuses"] = round(clock.monotonic() - created, 1)
    figures["resident MiB"] = memory_bytes(process.pid) // 2**20
    assert memory_bytes(process.pid) < MEMORY_LIMIT

    before, rows = versions(world.place), written(world)
    sweeps = _sample(world, 'reconcile_seconds_count{kind="sweep"}')
    eventually(lambda: _sample(world, 'reconcile_seconds_count{kind="sweep"}') >= sweeps + 2, within=120)
    assert versions(world.place) == before
    assert written(world) == rows
    assert memory_bytes(process.pid) < MEMORY_LIMIT
    sys.stdout.write(json.dumps(figures))  # shown by pytest -rP


def _sample(world, name):
    text = httpx.get(world.url("/metrics"), timeout=30).text
    wanted = f"marketdata_operator_{name} "
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(wanted)), 0.0)


def _pending(world):
    return _sample(world, "pending_statuses")


def _are_told(place):
    """Tell whether each object says how it fares; one that was seen before its row says so later."""
    fared = [each.get("status", {}).get("conditions", ()) for each in place.items()]
    return len(fared) == JOBS and all(
        ("Ready", "Suspended") in {(each["type"], each["reason"]) for each in conditions}
        for conditions in fared
    )
