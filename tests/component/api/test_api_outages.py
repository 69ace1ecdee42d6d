"""Redis or Postgres away: the API serves what is left, says 503 for the rest, and recovers by itself."""

import time
from urllib.parse import urlsplit, urlunsplit

import pytest
import sqlalchemy as sa

from marketdata.clock import SystemClock
from support.builders import a_price
from support.faults import read_only
from support.proxy import Proxy
from support.waiting import eventually, holds

from .conftest import Api, Start, store

_LATEST = "/prices/latest?symbol=AAPL&provider=synthetic"
# A request that tries Redis while it is away makes a connection of its own, as that of the one before was
# cut; else only the probe makes any, one a second at most. So a hundred requests see fewer than:
_PROBES = 50
_STORE_SECONDS = 6  # more than a busy machine takes for what is refused at once


def _through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}"))


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _source(api: Api) -> str:
    answer = api.get(_LATEST)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-cache"])


@pytest.mark.parametrize("fault", ["cut", "half_open"])
def test_redis_away_means_postgres_answers_at_once_and_back_means_the_cache_does(
    start_api: Start, redis_url: str, fault: str
) -> None:
    with Proxy(_port(redis_url)) as proxy:
        api = start_api(redis=_through(proxy, redis_url))
        store(api.database.engine, [a_price()])
        eventually(lambda: _source(api) == "HIT", within=10)

        (proxy.cut if fault == "cut" else proxy.half_open)()
        first = _source(api)
        tried = proxy.accepted
        during = {_source(api) for _ in range(100)}

        assert (first, during) == ("BYPASS", {"BYPASS"})
        assert proxy.accepted - tried < _PROBES, "requests try what is known to be away"
        assert api.metric('marketdata_api_dependency_away{dependency="redis"}') == 1
        assert api.get("/readyz").status_code == 200

        proxy.pass_all()
        eventually(lambda: _source(api) == "HIT", within=10)
        assert api.metric('marketdata_api_dependency_away{dependency="redis"}') == 0


def test_a_slow_redis_costs_one_timeout_and_not_one_for_each_request(
    start_api: Start, redis_url: str
) -> None:
    with Proxy(_port(redis_url)) as proxy:
        api = start_api(redis=_through(proxy, redis_url))
        store(api.database.engine, [a_price()])
        eventually(lambda: _source(api) == "HIT", within=10)

        proxy.delay(3.0)
        assert _source(api) == "BYPASS"
        tried = proxy.accepted
        assert {_source(api) for _ in range(100)} == {"BYPASS"}

        assert proxy.accepted - tried < _PROBES, "requests try what is known to be slow"


def test_redis_that_was_never_there_is_no_reason_not_to_answer(start_api: Start) -> None:
    api = start_api(redis="redis://127.0.0.1:1/0")
    store(api.database.engine, [a_price()])

    assert {_source(api) for _ in range(10)} == {"BYPASS"}
    assert api.poll().status_code == 202


@pytest.mark.parametrize("fault", ["cut", "half_open"])
def test_postgres_away_means_cached_prices_still_and_503_for_the_rest_until_it_is_back(
    start_api: Start, fault: str
) -> None:
    probe = start_api()
    url = probe.database.url
    with Proxy(_port(url)) as proxy:
        api = start_api(
            DATABASE_URL=_through(proxy, url),
            MARKETDATA_API_STORE_TIMEOUT_SECONDS=str(_STORE_SECONDS),
            MARKETDATA_API_CACHE_TIMEOUT_SECONDS="20",
        )
        api.cache(a_price(observed_at=SystemClock().now()))
        assert api.poll().status_code == 202

        (proxy.cut if fault == "cut" else proxy.half_open)()
        refused = api.poll()
        begun = time.monotonic()
        rest = [api.poll(), api.get("/prices/poll"), api.get("/prices/history?symbol=AAPL")]
        took = time.monotonic() - begun
        missed = api.get("/prices/latest?symbol=NOTCACHED")

        assert refused.status_code == 503
        assert refused.json()["code"] == "database-unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert {answer.status_code for answer in [*rest, missed]} == {503}
        assert took < _STORE_SECONDS, "requests wait for what is known to be away"
        assert _source(api) == "HIT"
        assert api.get("/test-db").json() == {"status": "error", "details": "database unreachable"}
        assert api.get("/test-db").status_code == 503
        assert (api.get("/readyz").status_code, api.get("/healthz").status_code) == (200, 200)
        assert api.metric('marketdata_api_dependency_away{dependency="postgres"}') == 1

        proxy.pass_all()
        eventually(lambda: api.poll().status_code == 202, within=20)
        assert api.get("/test-db").json() == {"status": "connected"}


def test_a_postgres_that_turned_read_only_means_503_for_writes_and_answers_to_the_rest(
    start_api: Start,
) -> None:
    api = start_api(MARKETDATA_API_STORE_TIMEOUT_SECONDS="20")
    store(api.database.engine, [a_price()])
    assert api.poll().status_code == 202

    with read_only(api.database):
        # The first finds that its connection was cut.
        eventually(lambda: api.get("/prices/history?symbol=AAPL").status_code == 200, within=20)
        for _ in range(3):
            refused = api.poll()
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert refused.json()["code"] == "database-unavailable"
            assert int(refused.headers["retry-after"]) >= 1
            assert api.get("/prices/history?symbol=AAPL").status_code == 200
        assert api.metric('marketdata_api_dependency_away{dependency="postgres"}') == 0

    eventually(lambda: api.poll().status_code == 202, within=20)
    assert {api.poll().status_code for _ in range(10)} == {202}


def test_both_away_is_a_503_and_never_a_500(start_api: Start, redis_url: str) -> None:
    url = start_api().database.url
    with Proxy(_port(url)) as postgres, Proxy(_port(redis_url)) as redis:
        api = start_api(redis=_through(redis, redis_url), DATABASE_URL=_through(postgres, url))
        postgres.cut()
        redis.cut()

        answers = [api.get(_LATEST) for _ in range(20)]

        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
            (503, "database-unavailable")
        }
        assert "retry-after" in answers[0].headers
        assert api.process.is_running
        api.process.terminate()
        assert api.process.wait() == 0


def test_an_api_before_its_schema_answers_waits_and_becomes_ready(start_api: Start) -> None:
    api = start_api()
    api.execute("update schema_state set revision = 0")
    second = start_api(until_ready=False)

    eventually(lambda: "revision 0" in second.get("/readyz").json()["status"], within=20)
    holds(lambda: second.get("/readyz").status_code == 503, during=1)
    api.execute("update schema_state set revision = 1")

    eventually(lambda: second.get("/readyz").status_code == 200, within=20)


def _locked_out(api: Api) -> int:
    """Return how many of the API's sessions wait for a lock."""
    with api.database.engine.connect() as connection:
        waiting = connection.scalar(
            sa.text(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and application_name = 'marketdata-api' and wait_event_type = 'Lock'"
            )
        )
    return int(waiting or 0)


def test_a_job_that_was_answered_503_for_a_lock_is_not_made_when_the_lock_is_gone(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_STORE_TIMEOUT_SECONDS="2")
    with api.database.engine.begin() as holder:
        holder.execute(sa.text("lock table polling_jobs in access exclusive mode"))

        refused = api.poll()

        assert refused.status_code == 503
        assert "no job was made" in refused.json()["detail"]
        eventually(lambda: _locked_out(api) == 0, within=5)
    holds(lambda: api.count("polling_jobs") == {"polling_jobs": 0}, during=1)
    eventually(lambda: api.poll().status_code == 202, within=20)
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def test_a_job_whose_commit_was_not_answered_says_how_to_find_out_and_repeat_safely(start_api: Start) -> None:
    api = start_api()
    # A constraint that is checked at the commit, and ends the connection.
    api.execute(
        "create function cut() returns trigger language plpgsql as"
        " $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$"
    )
    api.execute(
        "create constraint trigger cut after insert on job_states deferrable initially deferred"
        " for each row execute function cut()"
    )

    refused = api.poll()
    eventually(lambda: api.get("/test-db").status_code == 200, within=20)
    keyed = api.http.post(
        "/prices/poll", json={"symbols": ["AAPL"], "interval": 60}, headers={"idempotency-key": "k"}
    )

    assert (refused.status_code, keyed.status_code) == (503, 503)
    assert "unknown" in refused.json()["detail"]
    assert "GET /prices/poll" in refused.json()["detail"]
    assert "the same Idempotency-Key" in keyed.json()["detail"]
