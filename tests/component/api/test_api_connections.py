"""What a connection may take, and how many there may be of them and of requests."""

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import pytest

from marketdata_tools.embedded.postgres import EmbeddedPostgres
from marketdata_tools.embedded.redis import EmbeddedRedis
from support.waiting import eventually

from .conftest import Api, Start, running_api

_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
_LARGE = b"GET /static/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"  # 1.5 MB
_UNFINISHED = b"POST /prices/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


class Client:
    """A connection of bytes, and what was read of it."""

    def __init__(self, api: Api, *, window: int | None = None) -> None:
        self.socket = socket.socket()
        if window is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", api.http.base_url.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """Read one answer that has a length; return its status and its head."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.socket.recv(1)
            assert more, f"closed after {head!r}"
            head += more
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while length:
            length -= len(self.socket.recv(length))
        return int(head.split()[1]), head.lower()

    def all(self) -> bytes:
        """Read until the other side closes."""
        return b"".join(iter(lambda: self.socket.recv(65_536), b""))

    def seconds_until_closed(self) -> float:
        """Wait until the other side closes, without an answer."""
        since = time.monotonic()
        assert self.socket.recv(1) == b""
        return time.monotonic() - since

    def is_cut_off(self, *, within: float) -> bool:
        """Tell whether the connection is reset, without reading of it."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return any(event & select.POLLERR for _, event in poll.poll(within * 1_000))


@contextmanager
def _locked(api: Api, table: str) -> Iterator[None]:
    """Keep everybody from a table."""
    with api.database.engine.connect() as connection:
        connection.exec_driver_sql(f"lock table {table} in access exclusive mode")
        yield


@pytest.fixture(scope="module")
def impatient(
    postgres_server: EmbeddedPostgres,
    _template: str,
    own_redis: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Api]:
    """An API that waits half a second for heads, bodies and readers, and an hour between requests."""
    with running_api(
        postgres_server,
        _template,
        own_redis,
        tmp_path_factory.mktemp("impatient"),
        MARKETDATA_API_RECEIVE_SECONDS="0.5",
        MARKETDATA_API_SEND_SECONDS="0.5",
        MARKETDATA_API_KEEP_ALIVE_SECONDS="3600",
        MARKETDATA_API_STORE_TIMEOUT_SECONDS="30",
        MARKETDATA_POSTGRES_STATEMENT_TIMEOUT_SECONDS="30",
    ) as api:
        yield api


def test_an_idle_connection_is_kept_for_its_own_time_and_not_for_that_of_a_head(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_RECEIVE_SECONDS="0.5", MARKETDATA_API_KEEP_ALIVE_SECONDS="2")
    with Client(api) as client:
        client.send(_HEALTH)
        assert client.answer()[0] == 200

        assert 1.9 < client.seconds_until_closed() < 20


@pytest.mark.parametrize(
    ("first", "then"), [(_HEALTH, b"GET /he"), (_HEALTH, b"\r\n"), (_HEALTH + b"GET /he", b""), (b"", b"GE")]
)
def test_a_head_that_does_not_come_to_its_end_is_cut_off(impatient: Api, first: bytes, then: bytes) -> None:
    with Client(impatient) as client:
        if first:
            client.send(first)
            assert client.answer()[0] == 200
        client.send(then)

        assert client.seconds_until_closed() < 20


def test_an_answer_that_takes_longer_than_a_head_may_is_sent(impatient: Api) -> None:
    with Client(impatient) as client:
        with _locked(impatient, "polling_jobs"):
            client.send(b"GET /prices/poll HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in range(2):
                with Client(impatient) as later:
                    later.seconds_until_closed()

        assert client.answer()[0] == 200


@pytest.mark.parametrize(
    "body", [b"Content-Length: 60000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{"]
)
@pytest.mark.parametrize("request_line", [b"GET /prices/latest?symbol=AAPL", b"POST /prices/poll"])
def test_a_body_that_does_not_come_to_its_end_is_answered_and_its_connection_closed(
    impatient: Api, request_line: bytes, body: bytes
) -> None:
    with Client(impatient) as client:
        client.send(request_line + b" HTTP/1.1\r\nHost: x\r\n" + body)

        status, head = client.answer()

        assert (status, b"connection: close" in head) == (408, True)
        client.seconds_until_closed()


def test_an_answer_that_does_not_wait_for_the_body_closes_the_connection(impatient: Api) -> None:
    with Client(impatient) as client:
        client.send(b"OPTIONS /prices/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

        status, head = client.answer()

        assert (status, b"connection: close" in head) == (204, True)
        client.seconds_until_closed()


def test_a_request_whose_body_was_given_up_takes_no_effect(impatient: Api) -> None:
    job = impatient.http.post("/prices/poll", json={"symbols": ["GONE"], "interval": 3600}).json()["job_id"]
    counted = 'marketdata_api_requests_total{method="DELETE",route="unmatched",status="408"}'
    before = impatient.metric(counted)
    with Client(impatient) as client:
        client.send(
            b"DELETE /prices/poll/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{" % job.encode()
        )
    eventually(lambda: impatient.metric(counted) == before + 1, within=20)

    assert impatient.get(f"/prices/poll/{job}").status_code == 200


def test_a_refusal_waits_for_the_body_that_is_on_its_way(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_MAX_CONCURRENCY="8")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Client(api)).send(_UNFINISHED)
        eventually(lambda: api.get("/providers").status_code == 503, within=20)
        with Client(api) as client:
            client.send(b"POST /prices/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            client.send(b"}")

            status, head = client.answer()

            assert (status, b"connection: close" in head) == (503, False)


def test_a_body_that_nobody_asked_for_is_read_and_the_connection_kept(impatient: Api) -> None:
    with Client(impatient) as client:
        for _ in range(2):
            client.send(
                b"GET /prices/latest?symbol=NOPE HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n"
                + b"x" * 40_000
            )

            status, head = client.answer()

            assert (status, b"connection: close" in head) == (404, False)


def test_a_client_that_does_not_read_is_cut_off_and_others_are_served(impatient: Api) -> None:
    with Client(impatient, window=4_096) as client:
        client.send(4 * _LARGE)  # more than the system keeps for a connection

        assert client.is_cut_off(within=20)

    assert len(impatient.get(_LARGE.split()[1].decode()).content) > 1_000_000


def test_idle_connections_are_no_requests_in_work(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_MAX_CONCURRENCY="8")
    with ExitStack() as idle:
        for _ in range(20):
            client = idle.enter_context(Client(api))
            client.send(_HEALTH)
            assert client.answer()[0] == 200

        assert api.get("/prices/latest", symbol="NOPE").status_code == 404
        assert api.get("/providers").status_code == 200


def test_a_request_beyond_those_in_work_is_refused_with_a_problem_and_counted(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_MAX_CONCURRENCY="8")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Client(api)).send(_UNFINISHED)
        for path, route in (
            ("/prices/latest", "/prices/latest"),
            ("/v1/prices/latest", "/prices/latest"),
            ("/providers", "unmatched"),
        ):
            eventually(lambda path=path: api.get(path).status_code == 503, within=20)  # type: ignore[misc]
            counted = f'marketdata_api_requests_total{{method="GET",route="{route}",status="503"}}'
            before = api.metric(counted)

            refused = api.get(path)

            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["trace_id"] == refused.headers["x-request-id"]
            eventually(lambda c=counted, b=before: api.metric(c) == b + 1, within=20)  # type: ignore[misc]
        for health in ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz"):
            assert api.get(health).status_code == 200
    eventually(lambda: api.get("/providers").status_code == 200, within=20)


def test_a_connection_beyond_those_that_may_be_open_takes_the_place_of_an_idle_one(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_MAX_CONNECTIONS="8")
    api.http.close()
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(Client(api)) for _ in range(8)]
        for client in clients:
            client.send(_HEALTH)
            assert client.answer()[0] == 200

        assert not _is_refused(api)
        clients[0].seconds_until_closed()
        for client in clients[1:]:
            client.send(_HEALTH)
            assert client.answer()[0] == 200


def test_a_connection_beyond_those_that_may_be_open_is_closed_where_none_is_idle(start_api: Start) -> None:
    api = start_api(MARKETDATA_API_MAX_CONNECTIONS="8")
    api.http.close()
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(Client(api)) for _ in range(8)]
        for client in clients:
            client.send(_UNFINISHED)

        eventually(lambda: _is_refused(api), within=5)
        assert [_is_refused(api) for _ in range(3)] == [True] * 3
        api.process.says("connections are at their most")
        assert api.process.output().count("connections are at their most") == 1

        clients[0].socket.close()
        eventually(lambda: not _is_refused(api), within=20)


def _is_refused(api: Api) -> bool:
    with Client(api) as client:
        try:
            client.send(_HEALTH)
            return client.socket.recv(1) == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_that_is_not_taken_is_answered_as_it_stands_and_logs_nothing(
    impatient: Api, protocol: bytes
) -> None:
    before = impatient.process.output()
    with Client(impatient) as client:
        client.send(_HEALTH[:-2] + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
        assert client.answer()[0] == 200
        client.send(_HEALTH)
        assert client.answer()[0] == 200

    assert impatient.process.output() == before


@pytest.mark.parametrize(
    "sent",
    [b"hello\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
    ids=["words", "version", "length"],
)
def test_what_is_no_http_is_told_so_as_a_problem(api: Api, sent: bytes) -> None:
    with Client(api) as client:
        client.send(sent)
        head, _, body = client.all().partition(b"\r\n\r\n")

    status, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    told = json.loads(body)
    assert status == "HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["content-length"] == str(len(body))
    assert "date" in headers
    assert told["type"] == "/problems/malformed-request"
    assert told["trace_id"] == headers["x-request-id"]
