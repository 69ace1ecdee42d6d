"""Tags, pages, averages, history, batches and the cache's part in them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.clock import SystemClock
from marketdata.messages.latest import render
from support.builders import NOON, a_price, at
from support.waiting import eventually

from .conftest import Api


def _series(count: int, *, symbol: str = "AAPL", provider: str = "synthetic") -> list[Any]:
    return [a_price(symbol=symbol, provider=provider, price=str(n), observed_at=at(n)) for n in range(count)]


def test_a_tag_that_still_holds_answers_304_without_a_body(api: Api) -> None:
    api.store(a_price())
    first = api.get("/prices/latest", symbol="AAPL")

    again = api.get("/prices/latest", symbol="AAPL", headers={"if-none-match": first.headers["etag"]})
    listed = api.get(
        "/prices/latest", symbol="AAPL", headers={"if-none-match": f'"x", {first.headers["etag"]}'}
    )
    other = api.get("/prices/latest", symbol="AAPL", headers={"if-none-match": 'W/"x"'})

    assert first.headers["etag"].startswith('W/"')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert listed.status_code == 304
    assert other.status_code == 200


def test_tags_on_two_lines_are_one_list(api: Api) -> None:
    api.store(a_price())
    tag = api.get("/prices/latest", symbol="AAPL").headers["etag"]

    for method in ("GET", "HEAD"):
        for lines in ((tag, '"x"'), ('"x"', tag)):
            answer = api.http.request(
                method, "/prices/latest?symbol=AAPL", headers=[("if-none-match", line) for line in lines]
            )

            assert answer.status_code == 304


def test_a_price_fetched_in_the_last_year_there_is_is_answered(api: Api) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    api.store(a_price(fetched_at=last, raw_response_id=uuid4()))

    answer = api.get("/prices/latest", symbol="AAPL")

    assert answer.status_code == 200, answer.text
    assert answer.json()["fetched_at"] == "9999-12-31T23:59:59.999999Z"


def test_a_newer_price_a_later_confirmation_and_becoming_stale_each_change_the_tag(api: Api) -> None:
    now = SystemClock().now()
    fresh = a_price(observed_at=now, fetched_at=now)
    tags = []
    for point in (
        fresh,
        a_price(observed_at=now, fetched_at=now + timedelta(seconds=1)),
        a_price(observed_at=now + timedelta(seconds=1), fetched_at=now + timedelta(seconds=1)),
        a_price(observed_at=now, fetched_at=now - timedelta(hours=1)),
    ):
        api.cache(point)
        tags.append(api.get("/prices/latest", symbol="AAPL", provider="synthetic").headers["etag"])

    assert len(set(tags)) == 4
    assert [tag[-2] for tag in tags] == ["0", "0", "0", "1"]


def test_the_answer_may_be_kept_until_the_next_poll_and_never_over_a_minute(api: Api) -> None:
    now = SystemClock().now()

    def max_age(interval: int | None, age: int) -> int:
        point = a_price(observed_at=now, fetched_at=now - timedelta(seconds=age), interval_seconds=interval)
        api.cache(point)
        answer = api.get("/prices/latest", symbol="AAPL", provider="synthetic")
        return int(answer.headers["cache-control"].removeprefix("private, max-age="))

    assert 40 <= max_age(60, 10) <= 50
    assert max_age(3600, 10) == 60
    assert max_age(60, 100) == 0
    assert max_age(None, 0) == 0


def test_a_fill_never_goes_over_what_a_consumer_wrote_meanwhile(api: Api) -> None:
    older, newer = a_price(observed_at=NOON), a_price(observed_at=at(60))
    api.store(older)
    api.cache(newer)
    api.cache(newer, any_provider=True)
    before = api.cached("AAPL", "synthetic")

    for _ in range(3):
        assert api.get("/prices/latest", symbol="AAPL", provider="synthetic").headers["x-cache"] == "HIT"

    assert api.cached("AAPL", "synthetic") == before


@pytest.mark.parametrize(
    "foreign",
    [
        b'{"symbol":"AAPL","price":1}',
        render(a_price(interval_seconds=30)).replace(b":100}", b":1" + b"0" * 399 + b"}"),
    ],
    ids=["another document", "a staleness beyond all numbers"],
)
def test_foreign_bytes_under_our_key_are_passed_over(api: Api, foreign: bytes) -> None:
    api.store(a_price())
    api.redis.set("latest_price_AAPL_synthetic", foreign)

    answer = api.get("/prices/latest", symbol="AAPL", provider="synthetic")

    assert (answer.status_code, answer.json()["price"]) == (200, 231.5)


def test_concurrent_requests_share_few_reads_of_the_cache(api: Api) -> None:
    for number in range(40):
        api.cache(a_price(symbol=f"S{number}", price=str(number)))
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda n: api.get("/prices/latest", symbol=f"S{n % 40}", provider="synthetic"), range(400)
            )
        )

    assert [answer.json()["price"] for answer in answers] == [n % 40 for n in range(400)]


def test_history_comes_in_pages_that_join_without_a_gap_while_prices_arrive(api: Api) -> None:
    api.store(*_series(25))

    seen: list[float] = []
    path: str | None = "/prices/history?symbol=AAPL&provider=synthetic&limit=10"
    pages = 0
    while path is not None:
        answer = api.get(path)
        seen += [point["price"] for point in answer.json()["data"]]
        api.store(a_price(price=str(100 + pages), observed_at=at(100 + pages)))
        api.store(a_price(price=str(-1 - pages), observed_at=at(-1 - pages)))
        pages += 1
        token = answer.json()["next_page_token"]
        link = answer.headers.get("link")
        assert (token is None) == (link is None)
        path = link.partition("<")[2].partition(">")[0] if link else None

    assert seen[:25] == list(range(25))
    assert seen == sorted(seen)


def test_history_goes_backwards_and_keeps_to_its_range(api: Api) -> None:
    api.store(*_series(10))

    answer = api.get(
        "/prices/history", symbol="AAPL", sort="desc", start=at(2).isoformat(), end=at(8).isoformat()
    )

    assert [point["price"] for point in answer.json()["data"]] == [7, 6, 5, 4, 3, 2]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 12), newest_first=st.booleans())
def test_history_of_all_providers_merges_without_loss_at_any_page_size(
    shared_api: Api, limit: int, *, newest_first: bool
) -> None:
    api = shared_api
    if api.get("/prices/history", symbol="MERGED").json()["data"] == []:
        api.store(*_series(7, symbol="MERGED", provider="a"), *_series(9, symbol="MERGED", provider="b"))
    sort = "desc" if newest_first else "asc"

    seen = []
    parameters = {"symbol": "MERGED", "limit": limit, "sort": sort}
    while True:
        page = api.get("/prices/history", **parameters).json()
        seen += [(point["timestamp"], point["provider"]) for point in page["data"]]
        if page["next_page_token"] is None:
            break
        parameters["page_token"] = page["next_page_token"]

    assert len(seen) == 16
    assert seen == sorted(set(seen), reverse=newest_first)


def test_a_token_of_other_filters_or_another_listing_is_refused(api: Api) -> None:
    api.store(*_series(5))
    token = api.get("/prices/history", symbol="AAPL", limit=2).json()["next_page_token"]

    good = api.get("/prices/history", symbol="AAPL", limit=3, page_token=token)
    others = [
        api.get("/prices/history", symbol="MSFT", page_token=token),
        api.get("/prices/history", symbol="AAPL", sort="desc", page_token=token),
        api.get("/prices/average", symbol="AAPL", page_token=token),
        api.get("/prices/poll", page_token=token),
        api.get("/prices/history", symbol="AAPL", page_token=token[:-2] + "AA"),
        api.get("/prices/history", symbol="AAPL", page_token=""),
    ]

    assert [point["price"] for point in good.json()["data"]] == [2, 3, 4]
    assert {answer.status_code for answer in others} == {422}
    assert {answer.json()["code"] for answer in others} == {"page-token-invalid"}


@pytest.mark.parametrize("window", [2, 5, 6, 200])
def test_the_series_of_averages_equals_the_naive_ones_on_every_page(api: Api, window: int) -> None:
    api.store(*_series(12))

    seen = []
    parameters: dict[str, Any] = {"symbol": "AAPL", "window": window, "limit": 5}
    while True:
        page = api.get("/prices/average", **parameters).json()
        seen += [(entry["moving_average"], entry["sample_size"], entry["complete"]) for entry in page["data"]]
        if page["next_page_token"] is None:
            break
        parameters["page_token"] = page["next_page_token"]

    def naive(newest: int) -> tuple[float, int, bool]:
        prices = range(max(0, newest - window + 1), newest + 1)
        return (sum(prices) / len(prices), len(prices), len(prices) == window)

    assert seen == [pytest.approx(naive(newest)) for newest in range(11, -1, -1)]


def test_an_average_without_points_is_a_404(api: Api) -> None:
    assert api.get("/prices/average", symbol="NOPE").json()["code"] == "unknown-symbol"
    api.poll()
    assert api.get("/prices/average", symbol="AAPL").json()["code"] == "no-data-yet"


def test_a_batch_gives_prices_for_some_and_problems_for_the_rest(api: Api) -> None:
    api.store(a_price(symbol="AAPL"), a_price(symbol="MSFT", price="7"))
    api.poll(symbols=["TSLA"])

    answer = api.get("/prices/latest/batch?symbols=AAPL,msft,NOPE,TSLA,AAPL")

    body = answer.json()
    assert answer.status_code == 200
    assert {symbol: entry["price"] for symbol, entry in body["data"].items()} == {"AAPL": 231.5, "MSFT": 7}
    assert {symbol: entry["code"] for symbol, entry in body["errors"].items()} == {
        "NOPE": "unknown-symbol",
        "TSLA": "no-data-yet",
    }
    assert api.get("/prices/latest/batch?symbols=A,B").status_code == 404
    assert set(body["data"]["AAPL"]) == set(api.get("/prices/latest", symbol="AAPL").json())


def test_requests_are_counted_by_route_and_source(api: Api) -> None:
    api.store(a_price(symbol="COUNTED"))
    line = 'marketdata_api_latest_answers_total{source="MISS"}'
    before = api.metric(line)

    api.get("/prices/latest", symbol="COUNTED")

    eventually(lambda: api.metric(line) == before + 1, within=20)
    assert 'symbol="' not in api.metrics.get("/metrics").text
    assert "COUNTED" not in api.metrics.get("/metrics").text


def test_an_id_that_was_sent_comes_back_and_one_that_is_no_id_does_not(api: Api) -> None:
    assert api.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert api.get("/prices/latest", headers={"x-request-id": "abc-1"}).json()["trace_id"] == "abc-1"
    traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    assert api.get("/prices/latest?symbol=X", headers=traced).headers["x-request-id"] == (
        "4bf92f3577b34da6a3ce929d0e0e4736"
    )
    assert api.get("/healthz", headers={"x-request-id": "a b;c"}).headers["x-request-id"] != "a b;c"
