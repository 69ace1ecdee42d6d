"""Requests made from the API's own document, right and wrong: answers as documented, nothing spoilt.

A refused request, and one that only reads, leaves every row as it was.
"""

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.clock import SystemClock
from support.builders import a_price, a_raw
from support.openapi import Document, Operation, Request
from support.servers import ROOT

from .conftest import Api, store_raw

DOCUMENT = Document(json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8")))
OPERATIONS = DOCUMENT.operations()
READS = {"GET", "HEAD", "OPTIONS"}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
FILLED = {"job_id": "0192d000-0000-7000-8000-000000000000", "raw_response_id": "%ff"}
PATHS = sorted({operation.path for operation in OPERATIONS})
TABLES = (
    "polling_jobs", "polling_schedule", "job_states", "idempotency_keys", "price_points", "symbol_averages",
    "latest_prices", "poll_ledger", "event_ledger", "raw_market_data", "outbox",
)  # fmt: skip
_EVERY_ROW = sa.text(
    "select " + ", ".join(f"(select array_agg(t::text order by t::text) from {table} t)" for table in TABLES)
)
# Some twenty seconds in all; the campaign takes minutes.
FEW, MANY = 25, 1500


class Stocked:
    """An API with a little of everything stored, and the values that lead there."""

    def __init__(self, api: Api) -> None:
        self._api = api
        now = SystemClock().now()
        raw = a_raw(provider="yfinance", fetched_at=now)
        store_raw(api.database, raw)
        api.store(
            *(
                a_price(
                    provider="yfinance",
                    observed_at=now - timedelta(minutes=7 - n),
                    fetched_at=now,
                    raw_response_id=raw.raw_response_id,
                )
                for n in range(7)
            )
        )
        self.known: dict[str, list[Any]] = {
            "symbol": ["AAPL", "MSFT"],
            "symbols": [["AAPL"], ["AAPL", "MSFT"], "AAPL,MSFT"],
            "provider": ["yfinance", "synthetic", ""],
            "raw_response_id": [str(raw.raw_response_id)],
            "job_id": [],
            "page_token": [],
        }
        self._before = self._stock()
        page = api.get("/prices/history", symbol="AAPL", limit=2).json()
        self.known["page_token"].append(page["next_page_token"])

    def _stock(self) -> str:
        """See to it that there is a job to be found, and return what is stored."""
        if not self.known["job_id"]:
            self.known["job_id"].append(self._api.poll(provider="yfinance").json()["job_id"])
        self._api.execute(
            "insert into polling_jobs (job_id, origin, symbols, provider, interval_seconds)"
            " values (:job, 'api', '{AAPL}', 'yfinance', 60) on conflict do nothing",
            job=self.known["job_id"][0],
        )
        return self._stored()

    def _stored(self) -> str:
        """Return every row there is, as text."""
        with self._api.database.engine.connect() as connection:
            return str(connection.execute(_EVERY_ROW).one())

    def send(self, request: Request) -> tuple[int, str, bytes]:
        """Send a request; assert what holds of every answer, and that nothing was spoilt."""
        answer = self._api.http.request(
            request.method, request.target, headers=dict(request.headers), content=request.content
        )
        assert answer.status_code < 500, answer.text
        assert answer.headers["x-request-id"]
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status_code >= 400 and request.method != "HEAD":
            problem = answer.json()
            assert (media_type, problem["status"]) == ("application/problem+json", answer.status_code)
            assert problem["trace_id"] == answer.headers["x-request-id"]
        if answer.status_code >= 400 or request.method in READS:
            assert self._stored() == self._before, f"{answer.status_code}, and yet something was stored"
        else:
            self._before = self._stock()
        return answer.status_code, media_type, answer.content


@pytest.fixture
def stocked(api: Api) -> Stocked:
    return Stocked(api)


def _volley(stocked: Stocked, operation: Operation, *, examples: int) -> None:
    seen: set[int] = set()

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(request=operation.requests(stocked.known))
    def shoot(request: Request) -> None:
        status, media_type, content = stocked.send(request)
        operation.check(status, media_type, content)
        seen.add(status // 100)

    shoot()
    assert seen & {2, 3}, f"{operation} was never answered, so little of it was tried"


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_answer_is_as_documented_and_a_refusal_stores_nothing(
    stocked: Stocked, operation: Operation
) -> None:
    _volley(stocked, operation, examples=FEW)


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_the_same_for_very_many_requests(stocked: Stocked, operation: Operation) -> None:
    _volley(stocked, operation, examples=MANY)


def test_any_method_at_any_path_is_answered_or_refused(stocked: Stocked) -> None:
    @settings(max_examples=2 * FEW, suppress_health_check=list(HealthCheck))
    @given(
        method=st.sampled_from(METHODS),
        prefix=st.sampled_from(["", "/v1", "/v1/v1", "//"]),
        path=st.sampled_from(PATHS),
        tail=st.sampled_from(["", "/", "/x", "%2f", "%00", ";x"]),
    )
    def shoot(method: str, prefix: str, path: str, tail: str) -> None:
        stocked.send(Request(method, prefix + path.format(**FILLED) + tail))

    shoot()
