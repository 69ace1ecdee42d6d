"""The process: how it starts, what stops it from starting, how it ends."""

import hashlib
import json
import re
import socket
import threading
from pathlib import Path

import httpx
import pytest

from support.processes import Processes
from support.waiting import eventually

from .conftest import Api, Start

_GOOD = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "MARKETDATA_API_HOST": "127.0.0.1",
    "MARKETDATA_API_PORT": "0",
    "MARKETDATA_METRICS_HOST": "127.0.0.1",
    "MARKETDATA_METRICS_PORT": "0",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", None), ("MARKETDATA_API_PROT", "8000"), ("MARKETDATA_API_KEYS_FILE", "/nowhere")],
)
def test_a_missing_unknown_or_unusable_setting_is_one_sentence_and_exit_2(
    processes: Processes, name: str, value: str | None
) -> None:
    env = {key: text for key, text in (_GOOD | {name: value}).items() if text is not None}

    process = processes.start("marketdata_api", env=env)

    assert process.wait() == 2
    assert len(process.output().splitlines()) == 1
    assert name in process.output()


@pytest.mark.parametrize("variable", ["MARKETDATA_API_PORT", "MARKETDATA_METRICS_PORT"])
def test_a_taken_port_is_one_sentence_and_exit_2(processes: Processes, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = processes.start("marketdata_api", env=_GOOD | {variable: str(taken.getsockname()[1])})

        assert process.wait() == 2
        assert len(process.output().splitlines()) == 1
        assert variable in process.output()


@pytest.mark.parametrize("host", ["192.0.2.1", "999.1.1.1"])
def test_an_address_that_is_not_ours_is_one_sentence_and_exit_2(processes: Processes, host: str) -> None:
    process = processes.start("marketdata_api", env=_GOOD | {"MARKETDATA_API_HOST": host})

    assert process.wait() == 2
    assert len(process.output().splitlines()) == 1
    assert process.output().startswith(f"MARKETDATA_API_HOST: {host} ")


def test_it_starts_without_its_dependencies_and_says_that_it_is_not_ready(processes: Processes) -> None:
    process = processes.start("marketdata_api", env=_GOOD | {"MARKETDATA_LOG_FORMAT": "json"})
    port = process.says(r'"port": (\d+), "metrics_port"', within=60)[1]

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        eventually(lambda: "database" in http.get("/readyz").json()["status"], within=20)
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200
    process.terminate()
    assert process.wait() == 0


@pytest.mark.parametrize("way", ["terminate", "interrupt"])
def test_a_signal_lets_requests_under_way_end_and_then_the_process_ends_with_0(
    start_api: Start, way: str
) -> None:
    api = start_api(
        MARKETDATA_API_STORE_TIMEOUT_SECONDS="30", MARKETDATA_POSTGRES_STATEMENT_TIMEOUT_SECONDS="30"
    )
    host, port = "127.0.0.1", api.http.base_url.port
    lock = api.database.engine.connect()
    lock.exec_driver_sql("lock table polling_jobs in access exclusive mode")
    answers: list[httpx.Response] = []
    request = threading.Thread(target=lambda: answers.append(api.poll()))
    request.start()
    eventually(lambda: _waits_for_a_lock(api), within=10)

    getattr(api.process, way)()
    api.process.says("stopping")
    eventually(lambda: _is_refused(host, port), within=10)
    assert api.process.is_running
    lock.rollback()
    lock.close()
    request.join(20)

    assert api.process.wait(20) == 0
    assert [answer.status_code for answer in answers] == [202]
    assert api.count("polling_jobs") == {"polling_jobs": 1}


def _waits_for_a_lock(api: Api) -> bool:
    # In a transaction of its own: one sees the sessions of its first look for as long as it lasts.
    with api.database.engine.begin() as connection:
        waits = """select exists (select from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock')"""
        return bool(connection.exec_driver_sql(waits).scalar())


def _is_refused(host: str, port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


def test_a_request_that_never_ends_does_not_hold_the_stop_beyond_its_grace(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_SHUTDOWN_SECONDS="1")
    with socket.create_connection(("127.0.0.1", api.http.base_url.port)) as client:
        client.sendall(b"POST /prices/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        api.get("/healthz")

        api.process.terminate()

        assert api.process.wait(15) == 0


def test_an_endless_head_is_cut_off_and_others_are_served(start_api: Start) -> None:
    api = start_api()
    with socket.create_connection(("127.0.0.1", api.http.base_url.port), timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        endless = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1_000) for number in range(20_000))
        with pytest.raises(ConnectionError):
            client.sendall(endless)

    assert api.get("/healthz").status_code == 200


def test_live_ready_version_and_metrics_are_answered_on_their_own_port(start_api: Start) -> None:
    api = start_api()

    assert api.metrics.get("/healthz").json()["status"] == "ok"
    assert api.metrics.get("/readyz").status_code == 200
    assert "marketdata_api_requests_total" in api.metrics.get("/metrics").text
    assert api.get("/metrics").status_code == 404
    assert re.fullmatch(r"\d+\.\d+\.\d+", api.get("/version").json()["version"])
    eventually(lambda: "http" in api.metrics.get("/healthz").json()["loops"], within=20)


def test_keys_are_asked_for_where_a_file_of_them_is_given(start_api: Start, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    digest = hashlib.sha256(b"reader-key").hexdigest()
    file.write_text(f"# for the dashboard\n{digest}  prices:read  dashboard\n")
    api = start_api(MARKETDATA_API_KEYS_FILE=str(file))
    key = {"x-api-key": "reader-key"}

    assert api.get("/prices/poll").status_code == 401
    assert api.get("/prices/latest?symbol=X").json()["code"] == "unauthorized"
    assert api.get("/prices/latest?symbol=X", headers={"x-api-key": "wrong"}).status_code == 401
    assert api.get("/prices/latest?symbol=X", headers=key).status_code == 404
    assert api.get("/prices/poll", headers={"authorization": "Bearer reader-key"}).status_code == 200
    forbidden = api.http.post("/prices/poll", json={"symbols": ["A"]}, headers=key)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert api.get("/prices/raw/01a204c2-a59e-79b9-b31d-72c25775818a", headers=key).status_code == 403
    assert [api.get(path).status_code for path in ("/healthz", "/readyz", "/docs", "/test-db")] == [200] * 4

    file.unlink()
    eventually(
        lambda: (
            api.get("/prices/poll", headers={"x-api-key": "reader-key"}).status_code == 200
            and api.metric("marketdata_api_keys_unreadable") == 1
        ),
        within=30,
    )


def test_the_documentation_is_complete_and_fetches_nothing_from_elsewhere(start_api: Start) -> None:
    api = start_api()

    page = api.get("/docs").text
    document = api.get("/openapi.json").json()

    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert assets
    assert all(asset.startswith("/static/swagger/") for asset in assets)
    assert [api.get(asset).status_code for asset in assets] == [200] * len(assets)
    assert document["openapi"].startswith("3.1")
    assert {
        "/prices/poll",
        "/prices/poll/{job_id}",
        "/prices/poll/{job_id}/runs",
        "/prices/latest",
        "/prices/latest/batch",
        "/prices/average",
        "/prices/history",
        "/prices/raw/{raw_response_id}",
        "/prices/ledger",
        "/providers",
        "/test-db",
        "/prices/test-db",
        "/healthz",
        "/readyz",
        "/version",
    } <= set(document["paths"])
    assert "https://" not in re.sub(r"https://(json-schema|spec)", "", json.dumps(document))
    assert api.get("/problems/validation").status_code == 200
    assert api.get("/problems/nothing").status_code == 404
    assert api.get("/v1/docs").text.count("/v1/static/swagger/") == len(assets)
