"""Jobs over REST: made once, listed, read, stopped, resumed, polled now, deleted."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from marketdata.storage.job_book import PostgresJobBook
from support.builders import a_job, an_origin

from .conftest import Api

_WISH = {"symbols": ["AAPL"], "interval": 60}


def _keyed(api: Api, key: str, **wish: object) -> httpx.Response:
    return api.http.post("/prices/poll", json=_WISH | wish, headers={"Idempotency-Key": key})


def test_the_same_key_and_body_make_one_job_and_say_so(api: Api) -> None:
    first = _keyed(api, "k-1")
    again = _keyed(api, "k-1")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    _keyed(api, "k-1")
    other = _keyed(api, "k-1", interval=61)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert other.json()["errors"][0] | {"detail": ""} == {
        "pointer": "#/Idempotency-Key",
        "in": "header",
        "detail": "",
    }
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def test_requests_under_one_key_at_once_make_one_job(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _keyed(api, "k-1"), range(8)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def test_without_a_key_each_request_makes_a_job(api: Api) -> None:
    assert api.poll().json()["job_id"] != api.poll().json()["job_id"]


def test_symbols_are_made_canonical_and_named_once(api: Api) -> None:
    assert api.poll(symbols=["aapl", "AAPL ", "^gspc"]).json()["config"]["symbols"] == ["AAPL", "^GSPC"]


def test_a_job_is_read_suspended_resumed_and_deleted(api: Api) -> None:
    path = api.poll(interval="5m").headers["location"]

    read = api.get(path).json()
    suspended = api.http.patch(path, json={"suspended": True}).json()
    resumed = api.http.patch(path, json={"suspended": False}).json()
    deleted = api.http.delete(path)

    assert read["config"] == {"symbols": ["AAPL"], "interval": 300, "provider": "synthetic"}
    assert (read["status"], read["origin"], read["kubernetes"]) == ("active", "api", None)
    assert read["next_due_at"] is not None
    assert (suspended["status"], suspended["suspended"], suspended["next_due_at"]) == (
        "suspended",
        True,
        None,
    )
    assert resumed["status"] == "active"
    assert resumed["next_due_at"] is not None
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert api.get(path).json()["code"] == "job-not-found"
    assert api.http.delete(path).status_code == 404


def test_poll_now_makes_a_job_due_and_is_refused_for_a_suspended_one(api: Api) -> None:
    path = api.poll().headers["location"]
    api.execute("update polling_schedule set due_at = now() + interval '1 hour'")

    accepted = api.http.post(f"{path}/runs")
    with api.database.engine.connect() as connection:
        due = connection.exec_driver_sql("select due_at <= clock_timestamp() from polling_schedule").scalar()
    api.http.patch(path, json={"suspended": True})
    refused = api.http.post(f"{path}/runs")

    assert (accepted.status_code, accepted.json()["status"]) == (202, "accepted")
    assert due is True
    assert (refused.status_code, refused.json()["code"]) == (409, "job-suspended")


def test_a_job_that_is_not_there_is_a_404_whatever_is_done_to_it(api: Api) -> None:
    path = f"/prices/poll/{uuid4()}"

    answers = [
        api.get(path),
        api.http.delete(path),
        api.http.patch(path, json={"suspended": True}),
        api.http.post(f"{path}/runs"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "job-not-found")}


def test_a_job_that_kubernetes_owns_is_changed_there_only(api: Api) -> None:
    job = a_job(origin=an_origin("tech"))
    PostgresJobBook(api.database.engine).sync("demo", [job])
    path = api.get("/prices/poll").json()["data"][0]["job_id"]

    answers = [
        api.http.delete(f"/prices/poll/{path}"),
        api.http.patch(f"/prices/poll/{path}", json={"suspended": True}),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "not-owned")}
    assert "default/tech" in answers[0].json()["detail"]
    assert api.get(f"/prices/poll/{path}").json()["kubernetes"]["name"] == "tech"
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def test_jobs_are_listed_in_pages_that_hold_still_while_jobs_come_and_go(api: Api) -> None:
    made = [api.poll(symbols=[f"S{n}"]).json()["job_id"] for n in range(7)]

    seen: list[str] = []
    token: str | None = None
    while True:
        page = api.get("/prices/poll", limit=3, **({"page_token": token} if token else {})).json()
        seen += [job["job_id"] for job in page["data"]]
        api.http.delete(f"/prices/poll/{seen[0]}")
        token = page["next_page_token"]
        if token is None:
            break
        if len(seen) < 6:
            made.append(api.poll(symbols=["LATER"]).json()["job_id"])

    assert seen == made


def test_the_list_is_filtered_by_provider_symbol_and_suspension(api: Api) -> None:
    api.poll(symbols=["AAPL"], provider="yfinance")
    path = api.poll(symbols=["MSFT", "AAPL"]).headers["location"]
    api.http.patch(path, json={"suspended": True})

    def found(**filters: str) -> list[list[str]]:
        return [job["config"]["symbols"] for job in api.get("/prices/poll", **filters).json()["data"]]

    assert found(provider="yfinance") == [["AAPL"]]
    assert found(symbol="msft") == [["MSFT", "AAPL"]]
    assert len(found(symbol="AAPL")) == 2
    assert found(suspended="true") == [["MSFT", "AAPL"]]
    assert found(suspended="false") == [["AAPL"]]
    assert found(provider="replay") == []


def test_since_when_a_symbol_fails_is_written_as_every_other_time(api: Api) -> None:
    path = api.poll().headers["location"]
    api.execute(
        "update job_states set failing = jsonb_build_object('AAPL', jsonb_build_object("
        "'reason', 'no_data', 'message', '', 'since', '2026-03-02T12:00:00.5+00:00'))"
    )

    assert api.get(path).json()["failing"]["AAPL"]["since"] == "2026-03-02T12:00:00.500000Z"


def test_the_providers_are_listed_with_the_default_one(api: Api) -> None:
    assert api.get("/providers").json()["data"] == [
        {"name": "synthetic", "default": True},
        {"name": "yfinance", "default": False},
        {"name": "alpha_vantage", "default": False},
        {"name": "replay", "default": False},
    ]


def test_a_job_may_promise_how_old_its_prices_get_and_shows_how_that_is_kept(api: Api) -> None:
    made = api.poll(slo={"max_age_seconds": 120, "target": "99.5"})
    path = made.headers["location"]
    new = api.get(path).json()["slo"]
    for table, length in (("promise_ledger", "hour"), ("promise_days", "day")):
        api.execute(
            f"""insert into {table} (job_id, {length}, counted, kept)
            select job_id, date_trunc('{length}', now(), 'UTC') - age, 1000, kept from polling_jobs,
              (values (interval '0', 996), (interval '3 days', 998)) as times (age, kept)"""
        )

    assert made.status_code == 202
    assert new == {
        "max_age_seconds": 120,
        "target": "99.5",
        "last_day": None,
        "last_30_days": None,
        "budget_remaining": None,
    }
    assert api.get(path).json()["slo"] == {
        "max_age_seconds": 120,
        "target": "99.5",
        "last_day": "99.6",
        "last_30_days": "99.7",
        "budget_remaining": "40",
    }
    assert api.get("/prices/poll").json()["data"][0]["slo"] == api.get(path).json()["slo"]


def test_a_job_without_a_promise_shows_none_and_a_target_left_out_is_the_usual_one(api: Api) -> None:
    assert api.get(api.poll().headers["location"]).json()["slo"] is None
    promised = api.poll(slo={"max_age_seconds": 60}).headers["location"]
    assert api.get(promised).json()["slo"]["target"] == "99.9"


def test_a_promise_that_cannot_be_measured_is_refused_with_what_to_write(api: Api) -> None:
    for slo, pointer in (
        ({"max_age_seconds": 60, "target": "100"}, "#/slo/target"),
        ({"max_age_seconds": 60, "target": "0"}, "#/slo/target"),
        ({"max_age_seconds": 60, "target": "99.9\n"}, "#/slo/target"),
        ({"max_age_seconds": 60, "target": 99.9}, "#/slo/target"),
        ({"max_age_seconds": 0}, "#/slo/max_age_seconds"),
        ({"target": "99"}, "#/slo/max_age_seconds"),
    ):
        refused = api.poll(slo=slo)

        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


def test_the_same_key_with_another_promise_is_refused(api: Api) -> None:
    _keyed(api, "k-1", slo={"max_age_seconds": 60})

    assert _keyed(api, "k-1", slo={"max_age_seconds": 60}).status_code == 202
    assert _keyed(api, "k-1", slo={"max_age_seconds": 61}).json()["code"] == "idempotency-key-reused"
