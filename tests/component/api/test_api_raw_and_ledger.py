"""Where a price comes from, byte for byte; and that nothing is missing."""

import os
from datetime import timedelta
from uuid import uuid4

import pytest

from marketdata.clock import SystemClock
from marketdata.domain.answer import RawResponse
from marketdata.identifiers import uuid7

from .conftest import Api, store_raw


def _raw(
    body: bytes, *, content_type: str = "application/json", age: timedelta = timedelta(0)
) -> RawResponse:
    at = SystemClock().now() - age
    return RawResponse(
        raw_response_id=uuid7(at),
        provider="yfinance",
        url="https://example.test/v7/finance/quote?symbols=AAPL",
        status=200,
        headers={"content-type": content_type},
        body=body,
        symbols=("AAPL",),
        fetched_at=at,
    )


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("application/json;charset=utf-8", "application/json"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_a_raw_answer_comes_back_byte_for_byte_and_never_as_something_that_runs(
    api: Api, content_type: str, shown: str
) -> None:
    body = b"\x00\xff{}" + os.urandom(5_000)
    raw = _raw(body, content_type=content_type)
    store_raw(api.database, raw)

    answer = api.get(f"/prices/raw/{raw.raw_response_id}")

    assert answer.content == body
    assert answer.headers["content-type"] == shown
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-raw-provider"] == "yfinance"
    assert answer.headers["x-raw-url"] == raw.url


def test_what_is_known_about_a_raw_answer_is_told_on_request(api: Api) -> None:
    raw = _raw(b"{}")
    store_raw(api.database, raw)

    meta = api.get(f"/prices/raw/{raw.raw_response_id}", meta="true").json()

    assert (meta["provider"], meta["status"], meta["size"], meta["symbols"]) == ("yfinance", 200, 2, ["AAPL"])


def test_a_dropped_answer_is_gone_and_an_unknown_one_is_not_found(api: Api) -> None:
    now = SystemClock().now()
    api.execute("insert into retention values ('raw_market_data', :at)", at=now - timedelta(days=7))

    gone = api.get(f"/prices/raw/{uuid7(now - timedelta(days=8))}")
    unknown = api.get(f"/prices/raw/{uuid7(now)}")

    assert (gone.status_code, gone.json()["code"]) == (410, "raw-response-dropped")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "raw-response-not-found")
    assert api.get(f"/prices/raw/{uuid4()}").status_code == 404


def test_the_ledger_tells_both_accounts_and_whether_they_balance(api: Api) -> None:
    job = uuid4()
    hour = SystemClock().now().replace(minute=0, second=0, microsecond=0)
    api.execute(
        "insert into poll_ledger values"
        " (:job, :hour, 2, 10, 4, 3, '{\"no_data\": 2}', '{\"breaker_open\": 1}')",
        job=job,
        hour=hour,
    )
    api.execute("insert into event_ledger values ('synthetic', :day, 7, 5, 1, 1, 0)", day=hour.date())

    balanced = api.get("/prices/ledger").json()
    api.execute("update event_ledger set created = 8")
    lost = api.get("/prices/ledger").json()
    of_job = api.get("/prices/ledger", job_id=str(job)).json()

    assert balanced["balanced"] is True
    assert balanced["polls"][0]["failed"] == {"no_data": 2}
    assert balanced["events"][0]["created"] == 7
    assert balanced["counters"]["gaps"] == 0
    assert (lost["balanced"], lost["events"][0]["balanced"]) == (False, False)
    assert (of_job["balanced"], len(of_job["polls"]), of_job["events"]) == (True, 1, [])


@pytest.mark.parametrize("end", ["1970-01-01T00:00:00Z", "1969-06-01T00:00:00Z", "0002-01-02T00:00:00Z"])
def test_a_ledger_of_a_time_before_any_id_is_empty_and_balances(api: Api, end: str) -> None:
    answer = api.get("/prices/ledger", end=end)

    assert answer.status_code == 200, answer.text
    assert (answer.json()["balanced"], answer.json()["events"]) == (True, [])
