"""Bad input gets a clear error that points at the field, and nothing of it is stored."""

import json
from typing import Any

import pytest

from marketdata_api.paging import PageTokens

from .conftest import Api

_TABLES = ("polling_jobs", "polling_schedule", "job_states", "idempotency_keys")
_EMPTY = dict.fromkeys(_TABLES, 0)

_BODIES: dict[str, tuple[Any, str]] = {
    "no symbols": ({"symbols": [], "interval": 60}, "#/symbols"),
    "over 500 symbols": ({"symbols": [f"S{n}" for n in range(501)], "interval": 60}, "#/symbols"),
    "symbols missing": ({"interval": 60}, "#/symbols"),
    "symbols a string": ({"symbols": "AAPL", "interval": 60}, "#/symbols"),
    "symbols null": ({"symbols": None, "interval": 60}, "#/symbols"),
    "a symbol that is a number": ({"symbols": ["AAPL", 7], "interval": 60}, "#/symbols/1"),
    "a symbol outside the alphabet": ({"symbols": ["AAPL", "A PL"], "interval": 60}, "#/symbols/1"),
    "an empty symbol": ({"symbols": [""], "interval": 60}, "#/symbols/0"),
    "an overlong symbol": ({"symbols": ["A" * 33], "interval": 60}, "#/symbols/0"),
    "a symbol with a line break": ({"symbols": ["AAPL\r\nX: y"], "interval": 60}, "#/symbols/0"),
    "a symbol in another script": ({"symbols": ["ＡＡＰＬ"], "interval": 60}, "#/symbols/0"),
    "a symbol with a zero byte": ({"symbols": ["A\x00"], "interval": 60}, "#/symbols/0"),
    "a lone surrogate": ({"symbols": ["\ud800"], "interval": 60}, "#/symbols/0"),
    "interval 0": ({"symbols": ["AAPL"], "interval": 0}, "#/interval"),
    "interval negative": ({"symbols": ["AAPL"], "interval": -60}, "#/interval"),
    "interval over a day": ({"symbols": ["AAPL"], "interval": 86_401}, "#/interval"),
    "interval over a day as text": ({"symbols": ["AAPL"], "interval": "25h"}, "#/interval"),
    "interval a word": ({"symbols": ["AAPL"], "interval": "abc"}, "#/interval"),
    "interval empty": ({"symbols": ["AAPL"], "interval": ""}, "#/interval"),
    "interval a fraction": ({"symbols": ["AAPL"], "interval": 1.5}, "#/interval"),
    "interval true": ({"symbols": ["AAPL"], "interval": True}, "#/interval"),
    "interval null": ({"symbols": ["AAPL"], "interval": None}, "#/interval"),
    "interval huge": ({"symbols": ["AAPL"], "interval": 10**30}, "#/interval"),
    "an unknown provider": ({"symbols": ["AAPL"], "interval": 60, "provider": "bloomberg"}, "#/provider"),
    "the reserved provider": ({"symbols": ["AAPL"], "interval": 60, "provider": "any"}, "#/provider"),
    "a provider that is no name": ({"symbols": ["AAPL"], "interval": 60, "provider": "Y F"}, "#/provider"),
    "a provider that is a list": ({"symbols": ["AAPL"], "interval": 60, "provider": []}, "#/provider"),
    "an unknown field": ({"symbols": ["AAPL"], "interval": 60, "intervall": 5}, "#/intervall"),
    "a list": ([1, 2], "#"),
    "a string": ("AAPL", "#"),
    "null": (None, "#"),
}


@pytest.mark.parametrize("name", _BODIES)
def test_a_bad_job_is_refused_at_its_field_and_not_stored(api: Api, name: str) -> None:
    body, pointer = _BODIES[name]

    answer = api.http.post(
        "/prices/poll", content=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert problem["detail"]
    assert pointer in [entry["pointer"] for entry in problem["errors"]]
    assert {entry["in"] for entry in problem["errors"]} == {"body"}
    assert problem["trace_id"] == answer.headers["x-request-id"]
    assert api.count(*_TABLES) == _EMPTY


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b'{"symbols": ["AAPL"], "interval": NaN}']
)
def test_a_body_that_is_not_json_is_refused(api: Api, content: bytes) -> None:
    answer = api.http.post("/prices/poll", content=content, headers={"content-type": "application/json"})

    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.count(*_TABLES) == _EMPTY


@pytest.mark.parametrize("named", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_job_that_is_not_said_to_be_json_is_a_415_that_says_how_to_send_it(
    api: Api, named: str | None
) -> None:
    answer = api.http.post(
        "/prices/poll",
        content=b'{"symbols": ["AAPL"], "interval": 5}',
        headers={} if named is None else {"content-type": named},
    )

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert "Send the body as application/json" in answer.json()["detail"]
    assert answer.headers["accept"] == "application/json"
    assert api.count(*_TABLES) == _EMPTY


@pytest.mark.parametrize("named", ["application/json; charset=utf-8", "application/vnd.jobs+json"])
def test_a_job_may_be_sent_under_another_name_of_json(api: Api, named: str) -> None:
    answer = api.http.post(
        "/prices/poll", content=b'{"symbols": ["AAPL"], "interval": 5}', headers={"content-type": named}
    )

    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b'{"symbols":["A"],"symbols":["B"],"interval":3600}', "#/symbols"),
        (b'{"symbols":["A"],"interval":' + b"1" * 5_000 + b"}", "#/interval"),
        (b'{"symbols":["A"],"slo":' + b"[" * 20_000, "#"),
        (b'{"symbols":["\xe9"]}', "#"),
        (b'{"symbols":["A"],"\\ud800":1,"\\ud800":2}', "#/?"),
        (b'{"symbols":["A"],"\\ud800":1}', "#"),
    ],
)
def test_a_job_that_can_be_read_in_two_ways_or_not_at_all_is_refused_with_a_remedy(
    api: Api, content: bytes, pointer: str
) -> None:
    answer = api.http.post("/prices/poll", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert answer.json()["detail"] != "The request cannot be read."
    assert api.count(*_TABLES) == _EMPTY


@pytest.mark.parametrize("interval", [None, 1.5, True, [], {}, 0, "", 10**30])
def test_a_wrong_interval_is_one_sentence_with_what_would_be_right(api: Api, interval: object) -> None:
    (entry,) = api.poll(interval=interval).json()["errors"]

    assert entry == {
        "pointer": "#/interval",
        "in": "body",
        "detail": 'interval is seconds (60) or a duration ("60s", "5m"), from 1s to 24h',
    }


def test_a_list_without_entries_a_lost_plus_and_other_slips_are_told_as_sentences(api: Api) -> None:
    def said(path: str) -> str:
        return str(api.get(path).json()["detail"])

    assert api.poll(symbols=[]).json()["detail"] == "symbols is empty; give at least 1"
    assert "%2B00:00" in said("/prices/history?symbol=AAPL&start=2026-01-01T00:00:00+00:00")
    assert "such as 2026-01-05T14:30:00Z" in said("/prices/history?symbol=AAPL&start=yesterday")
    assert said("/prices/latest?symbol=AAPL&symbol=MSFT") == "symbol is there more than once; give it once"
    assert said("/prices/poll?limit=1_0") == "limit is a whole number in plain digits, such as 10"
    assert said("/prices/poll?limit=0") == "limit is at least 1"
    assert said("/prices/poll?suspended=perhaps") == "suspended is true or false"


def test_the_seed_s_own_endpoint_goes_on_ignoring_what_its_address_carries(api: Api) -> None:
    answer = api.http.post("/prices/poll?source=web", json={"symbols": ["AAPL"], "interval": 60})

    assert answer.status_code == 202


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/prices/latest?symbol=NOPE&provider=", "/prices/average?symbol=NOPE&start=1&start=2"]
)
def test_the_seed_s_endpoints_ask_nothing_of_parameters_that_they_do_not_know(
    api: Api, method: str, path: str
) -> None:
    assert api.http.request(method, path).status_code == 404


def test_every_wrong_value_is_named_at_once(api: Api) -> None:
    answer = api.poll(symbols=["ok", "not ok", "AAPL", "?"], interval=0, provider="X")

    pointers = [entry["pointer"] for entry in answer.json()["errors"]]
    assert {"#/symbols/1", "#/symbols/3", "#/interval", "#/provider"} <= set(pointers)


def test_the_details_say_what_would_be_right(api: Api) -> None:
    details = " ".join(
        entry["detail"] for entry in api.poll(interval="abc", symbols=["a b"]).json()["errors"]
    )

    assert "from 1s to 24h" in details
    assert "letters, digits" in details
    assert "bloomberg" in api.poll(provider="bloomberg").json()["detail"]
    assert "yfinance" in api.poll(provider="bloomberg").json()["detail"]
    assert api.poll(provider="bloomberg").json()["code"] == "unknown-provider"


@pytest.mark.parametrize("announced", [True, False])
def test_an_overlong_body_is_refused_whether_its_length_is_told_or_not(api: Api, *, announced: bool) -> None:
    body = b'{"symbols": ["' + b"A" * 70_000 + b'"], "interval": 60}'
    content = body if announced else iter([body[:40_000], body[40_000:]])

    answer = api.http.post("/prices/poll", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 413
    assert answer.json()["code"] == "body-too-large"
    assert api.count(*_TABLES) == _EMPTY
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/prices/latest", "#/symbol"),
        ("/prices/latest?symbol=", "#/symbol"),
        ("/prices/latest?symbol=%00", "#/symbol"),
        ("/prices/latest?symbol=A%20B", "#/symbol"),
        ("/prices/latest?symbol=AAPL&provider=A/B", "#/provider"),
        ("/prices/latest?symbol=AAPL&provider=any", "#/provider"),
        ("/prices/average", "#/symbol"),
        ("/prices/average?symbol=AAPL&window=1", "#/window"),
        ("/prices/average?symbol=AAPL&window=201", "#/window"),
        ("/prices/average?symbol=AAPL&window=five", "#/window"),
        ("/prices/average?symbol=AAPL&limit=0", "#/limit"),
        ("/prices/average?symbol=AAPL&limit=101&window=200", "#/limit"),
        ("/prices/average?symbol=AAPL&page_token=x", "#/page_token"),
        ("/prices/latest?symbol=AAPL&symbol=MSFT", "#/symbol"),
        ("/prices/average?symbol=AAPL&symbol=MSFT", "#/symbol"),
        ("/prices/average?symbol=AAPL&limit=1_0", "#/limit"),
        ("/prices/history?symbol=AAPL&limit=1&limit=2", "#/limit"),
        ("/prices/poll?suspended=true&suspended=false", "#/suspended"),
        ("/prices/poll?limit=1_0", "#/limit"),
        ("/prices/poll/01a204c2-a59e-79b9-b31d-72c25775818a?full=1", "#/full"),
        ("/prices/latest/batch", "#/symbols"),
        ("/prices/latest/batch?symbols=AAPL,B%20B", "#/symbols/1"),
        ("/prices/latest/batch?symbols=AAPL&symbol=MSFT", "#/symbol"),
        ("/prices/history?symbol=AAPL&limit=1001", "#/limit"),
        ("/prices/history?symbol=AAPL&sort=up", "#/sort"),
        ("/prices/history?symbol=AAPL&start=yesterday", "#/start"),
        ("/prices/history?symbol=AAPL&start=1767600000", "#/start"),
        ("/prices/poll?suspended=yes", "#/suspended"),
        ("/prices/history?symbol=AAPL&start=2026-01-01T00:00:00", "#/start"),
        ("/prices/history?symbol=AAPL&start=0001-01-01T00:00:00%2B23:59", "#/start"),
        ("/prices/history?symbol=AAPL&sorted=asc", "#/sorted"),
        ("/prices/history?symbol=AAPL&page_token=AAAA", "#/page_token"),
        ("/prices/poll?suspended=perhaps", "#/suspended"),
        ("/prices/poll?state=active", "#/state"),
        ("/prices/poll?page_token=%F0%9F%98%80", "#/page_token"),
        ("/prices/poll/not-a-uuid", "#/job_id"),
        ("/prices/raw/not-a-uuid", "#/raw_response_id"),
        ("/prices/ledger?job_id=7", "#/job_id"),
        ("/prices/ledger?days=7", "#/days"),
        ("/prices/ledger?start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z", "#/end"),
        ("/prices/ledger?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "#/end"),
        ("/prices/ledger?end=0001-01-01T00:00:00Z", "#/end"),
        ("/prices/ledger?start=9999-12-31T23:00:00Z", "#/start"),
    ],
)
def test_a_bad_address_is_refused_at_its_parameter(api: Api, path: str, pointer: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 422, answer.text
    assert pointer in [entry["pointer"] for entry in answer.json()["errors"]]
    assert answer.json()["instance"] == path


@pytest.mark.parametrize(
    ("path", "of", "filters"),
    [
        ("/prices/poll?", "jobs", {"provider": None, "symbol": None, "suspended": None}),
        (
            "/prices/history?symbol=AAPL&",
            "history",
            {"symbol": "AAPL", "provider": None, "start": None, "end": None, "sort": "asc"},
        ),
        ("/prices/average?symbol=AAPL&", "averages", {"symbol": "AAPL", "provider": None, "window": 5}),
    ],
)
@pytest.mark.parametrize("at", ["garbage", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00+00:00"])
def test_a_token_signed_by_somebody_else_with_the_built_in_key_is_refused_and_never_a_500(
    api: Api, path: str, of: str, filters: dict[str, object], at: str
) -> None:
    token = PageTokens().issue((at, "a\0b"), of=of, filters=filters)

    answer = api.get(f"{path}page_token={token}")

    assert (answer.status_code, answer.json()["code"]) == (422, "page-token-invalid")
    assert answer.json()["errors"][0]["pointer"] == "#/page_token"


@pytest.mark.parametrize(
    "body", [{}, {"suspended": "yes"}, {"suspended": 1}, {"suspended": True, "interval": 5}]
)
def test_a_bad_change_of_a_job_is_refused(api: Api, body: dict[str, Any]) -> None:
    job = api.poll().json()["job_id"]

    assert api.http.patch(f"/prices/poll/{job}", json=body).status_code == 422
    assert api.get(f"/prices/poll/{job}").json()["suspended"] is False


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
def test_a_bad_idempotency_key_is_refused(api: Api, key: str) -> None:
    answer = api.http.post(
        "/prices/poll",
        json={"symbols": ["AAPL"], "interval": 60},
        headers=[(b"Idempotency-Key", key.encode("latin-1"))],
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/Idempotency-Key"
    assert api.count(*_TABLES) == _EMPTY


def test_two_idempotency_keys_are_refused(api: Api) -> None:
    answer = api.http.post(
        "/prices/poll",
        json={"symbols": ["AAPL"], "interval": 60},
        headers=[(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")],
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/Idempotency-Key"
    assert api.count(*_TABLES) == _EMPTY


def test_an_overlong_address_is_refused(api: Api) -> None:
    assert api.get("/prices/latest?symbol=" + "A" * 40_000).status_code == 414
    assert api.get("/prices/history?symbol=" + "A" * 40_000).status_code == 414


def test_an_address_nobody_serves_and_a_method_it_does_not_take_are_told_apart(api: Api) -> None:
    missing = api.get("/prices/nothing")
    refused = api.http.put("/prices/poll/01a204c2-a59e-79b9-b31d-72c25775818a")

    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    assert (refused.status_code, refused.json()["code"]) == (405, "method-not-allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


def test_head_is_get_without_a_body_and_options_says_what_is_allowed(api: Api) -> None:
    head, get = api.http.head("/prices/poll"), api.get("/prices/poll")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert api.http.head("/prices/latest?symbol=NOPE").status_code == 404
    options = api.http.options("/v1/prices/poll")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert api.http.options("/prices/latest").headers["allow"] == "GET, HEAD, OPTIONS"
    assert api.http.options("/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/openapi.json", "/static/swagger/swagger-ui.css", "/docs"])
def test_what_documents_the_api_says_what_is_allowed_too(api: Api, path: str) -> None:
    options, put = api.http.options(path), api.http.put(path)

    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (put.status_code, put.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert api.http.head(path).status_code == 200
