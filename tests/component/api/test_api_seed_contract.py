"""The seed's endpoints keep their paths and shapes; answers only gain fields."""

from datetime import timedelta
from uuid import UUID

import pytest

from marketdata.clock import SystemClock
from support.builders import NOON, a_price

from .conftest import Api


def test_a_poll_is_accepted_with_the_job_and_its_whole_configuration(api: Api) -> None:
    answer = api.http.post(
        "/prices/poll", json={"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "yfinance"}
    )

    assert answer.status_code == 202
    assert answer.json() == {
        "job_id": answer.json()["job_id"],
        "status": "accepted",
        "config": {"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "yfinance"},
    }
    assert answer.headers["location"] == f"/prices/poll/{UUID(answer.json()['job_id'])}"
    assert api.get(answer.headers["location"]).status_code == 200


def test_a_job_without_a_provider_gets_the_deployments_and_never_null(api: Api) -> None:
    left_out = api.http.post("/prices/poll", json={"symbols": ["AAPL"], "interval": 60})
    null = api.http.post("/prices/poll", json={"symbols": ["AAPL"], "interval": 60, "provider": None})

    assert left_out.json()["config"]["provider"] == "synthetic"
    assert null.json()["config"]["provider"] == "synthetic"


@pytest.mark.parametrize(("given", "seconds"), [(60, 60), ("60s", 60), ("5m", 300), ("1h30m", 5400), (1, 1)])
def test_an_interval_is_seconds_or_a_duration(api: Api, given: int | str, seconds: int) -> None:
    assert api.poll(interval=given).json()["config"]["interval"] == seconds


def test_a_new_job_is_due_at_once_and_nothing_is_fetched_in_the_request(api: Api) -> None:
    job = api.poll().json()["job_id"]

    with api.database.engine.connect() as connection:
        due = connection.exec_driver_sql(
            "select due_at <= clock_timestamp(), lease_owner from polling_schedule where job_id = %s", (job,)
        ).one()
    assert tuple(due) == (True, None)
    assert api.count("raw_market_data", "outbox", "price_points") == {
        "raw_market_data": 0,
        "outbox": 0,
        "price_points": 0,
    }


def test_latest_has_the_seeds_four_fields_and_those_added(api: Api) -> None:
    api.store(a_price(price="231.50"))

    answer = api.get("/prices/latest", symbol="AAPL", provider="synthetic")

    body = answer.json()
    assert answer.status_code == 200
    assert {name: body[name] for name in ("symbol", "price", "timestamp", "provider")} == {
        "symbol": "AAPL",
        "price": 231.5,
        "timestamp": "2026-03-02T12:00:00.000000Z",
        "provider": "synthetic",
    }
    assert {
        "currency",
        "fetched_at",
        "age_seconds",
        "stale",
        "market_state",
        "delayed_by",
        "raw_response_id",
    } <= set(body)
    assert body["stale"] is True


def test_a_miss_fills_the_cache_under_the_seeds_key_for_its_time_and_the_next_is_a_hit(api: Api) -> None:
    api.store(a_price())

    first = api.get("/prices/latest", symbol="AAPL", provider="synthetic")
    api.get("/prices/latest", symbol="AAPL", provider="synthetic")
    second = api.get("/prices/latest", symbol="AAPL", provider="synthetic")

    assert first.headers["x-cache"] == "MISS"
    assert second.headers["x-cache"] == "HIT"
    assert 290 < int(str(api.redis.ttl("latest_price_AAPL_synthetic"))) <= 300


def test_cache_and_database_give_the_same_bytes_up_to_the_age(api: Api) -> None:
    api.store(a_price(price="0.000001", currency=None, market_state=None, interval_seconds=None))

    missed = api.get("/prices/latest", symbol="AAPL", provider="synthetic")
    api.get("/prices/latest", symbol="AAPL", provider="synthetic")
    hit = api.get("/prices/latest", symbol="AAPL", provider="synthetic")

    assert (missed.headers["x-cache"], hit.headers["x-cache"]) == ("MISS", "HIT")
    assert hit.content.partition(b'"age_seconds"')[0] == missed.content.partition(b'"age_seconds"')[0]
    assert b'"price":0.000001,' in hit.content
    assert {**hit.headers, "x-request-id": "", "date": "", "x-cache": "", "content-length": ""} == {
        **missed.headers,
        "x-request-id": "",
        "date": "",
        "x-cache": "",
        "content-length": "",
    }


def test_without_a_provider_the_newest_of_any_is_latest(api: Api) -> None:
    api.store(
        a_price(provider="synthetic", observed_at=NOON, price="1"),
        a_price(provider="yfinance", observed_at=NOON + timedelta(seconds=1), price="2"),
    )

    answer = api.get("/prices/latest", symbol="AAPL")
    again = api.get("/prices/latest", symbol="AAPL")

    assert (answer.json()["provider"], answer.json()["price"]) == ("yfinance", 2)
    assert again.json()["provider"] == "yfinance"
    assert api.cached("AAPL", None) is not None


def test_a_symbol_nobody_knows_is_a_404_with_the_seeds_words(api: Api) -> None:
    answer = api.get("/prices/latest", symbol="NOPE")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "Price point not found"
    assert answer.json()["code"] == "unknown-symbol"
    assert "retry-after" not in answer.headers


def test_a_symbol_that_a_job_covers_has_no_data_yet(api: Api) -> None:
    api.poll(symbols=["AAPL"])

    answer = api.get("/prices/latest", symbol="aapl")

    assert answer.status_code == 404
    assert answer.json()["code"] == "no-data-yet"
    assert answer.json()["detail"] == "Price point not found"
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert api.get("/prices/latest", symbol="AAPL", provider="yfinance").json()["code"] == "unknown-symbol"


def test_the_average_is_that_of_the_last_five_prices(api: Api) -> None:
    points = [a_price(price=str(n), observed_at=NOON + timedelta(seconds=n)) for n in range(1, 8)]
    api.store(*points)

    answer = api.get("/prices/average", symbol="AAPL", provider="synthetic").json()

    assert answer == {
        "symbol": "AAPL",
        "provider": "synthetic",
        "moving_average": 5,
        "timestamp": "2026-03-02T12:00:07.000000Z",
        "window": 5,
        "sample_size": 5,
        "complete": True,
        "raw_response_ids": [str(point.raw_response_id) for point in reversed(points[-5:])],
    }


@pytest.mark.parametrize("path", ["/test-db", "/prices/test-db", "/v1/prices/test-db"])
def test_the_database_check_says_connected(api: Api, path: str) -> None:
    answer = api.get(path)

    assert (answer.status_code, answer.json()) == (200, {"status": "connected"})


def test_the_seeds_endpoints_ignore_parameters_they_do_not_know(api: Api) -> None:
    api.store(a_price())

    assert api.get("/prices/latest", symbol="AAPL", colour="red").status_code == 200
    assert api.get("/prices/average", symbol="AAPL", colour="red").status_code == 200
    assert api.get("/test-db", colour="red").status_code == 200


def test_everything_is_under_v1_too_and_leads_on_there(api: Api) -> None:
    api.store(a_price())

    job = api.http.post("/v1/prices/poll", json={"symbols": ["AAPL"], "interval": 60})

    assert job.headers["location"].startswith("/v1/prices/poll/")
    assert api.get(job.headers["location"]).status_code == 200
    assert api.get("/v1/prices/latest", symbol="AAPL").json()["symbol"] == "AAPL"


def test_age_counts_from_the_providers_clock_and_staleness_from_our_last_answer(api: Api) -> None:
    now = SystemClock().now()
    api.store(a_price(observed_at=now - timedelta(hours=3), fetched_at=now, interval_seconds=60))

    body = api.get("/prices/latest", symbol="AAPL").json()

    assert 3 * 3600 - 5 < body["age_seconds"] < 3 * 3600 + 60
    assert body["stale"] is False
