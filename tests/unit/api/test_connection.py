"""What a connection does as time goes by and its client does not read, on a clock that is told."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from marketdata_api import connection
from marketdata_api.connection import BoundedProtocol, ConnectionLimits, Crowd

_LIMITS = ConnectionLimits(max_connections=2, receive_seconds=10, send_seconds=10, keep_alive_seconds=75)
_MIB = 1_048_576


class ManualLoop:
    """Calls what is due when it is told that time has passed; runs no tasks."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, Callable[[], None], ManualTimer]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> "ManualTimer":
        timer = ManualTimer()
        self._due.append((self._now + delay, call, timer))
        return timer

    def create_task(self, coroutine: Any) -> Any:
        coroutine.close()
        return cast("Any", ManualTask())

    def passes(self, seconds: float) -> None:
        until = self._now + seconds
        while due := [entry for entry in self._due if entry[0] <= until]:
            first = min(due, key=lambda entry: entry[0])
            self._due.remove(first)
            self._now, call, timer = first
            if not timer.cancelled:
                call()
        self._now = until


class ManualTimer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualTask:
    def add_done_callback(self, call: Any) -> None:
        """Never done."""


class PausedTransport:
    """Keeps what is written until the test says that the client has read."""

    def __init__(self) -> None:
        self.unread = 0
        self.state = "open"

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def setsockopt(self, *_: object) -> None:
        """Be reset."""

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    getpeername = getsockname
    family = 2

    def fileno(self) -> int:
        raise OSError("no file of the system's")

    def set_write_buffer_limits(self, *, high: int, low: int) -> None:
        """Be told when to ask for a pause."""

    def pause_reading(self) -> None:
        """Nothing more comes."""

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return self.unread

    def write(self, data: bytes) -> None:
        self.unread += len(data)

    def is_closing(self) -> bool:
        return self.state != "open"

    def close(self) -> None:
        self.state = "closing"

    def abort(self) -> None:
        self.state = "cut off"


class Server:
    """Connections on one loop, with their crowd."""

    def __init__(self) -> None:
        self.loop = ManualLoop()
        self.crowd = Crowd()
        self.state = ServerState()

    def connect(self) -> tuple[BoundedProtocol, PausedTransport]:
        transport = PausedTransport()
        one = BoundedProtocol(
            uvicorn.Config(_nothing, log_config=None, ws="none", lifespan="off"),
            self.state,
            {},
            cast("asyncio.AbstractEventLoop", self.loop),
            limits=_LIMITS,
            crowd=self.crowd,
        )
        one.connection_made(cast("asyncio.Transport", transport))
        return one, transport


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing."""


def end_answer(one: BoundedProtocol, cycle: RequestResponseCycle | None = None) -> None:
    """Have the answer that is being made come to its end."""
    (cycle or one.cycle).response_complete = True
    one.on_response_complete()


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_client_that_reads_too_slowly_is_cut_off(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    transport.unread = _MIB
    one.pause_writing()

    server.loop.passes(9.9)
    assert transport.state == "open"
    transport.unread -= 8_000
    server.loop.passes(0.2)

    assert transport.state == "cut off"


def test_a_client_that_reads_slowly_is_served_to_its_end(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    transport.unread = _MIB
    one.pause_writing()

    while transport.unread > 9_000:
        transport.unread -= 9_000
        server.loop.passes(10)
    transport.unread = 0
    one.resume_writing()
    server.loop.passes(1_000)

    assert transport.state == "open"


@pytest.mark.parametrize("closes", ["a head out of time", "an idle time", "a head that cannot be read"])
def test_a_close_does_not_wait_for_ever_for_what_is_unread(server: Server, closes: str) -> None:
    one, transport = server.connect()
    transport.unread = 1_000  # too little for a transport to ask for a pause
    if closes == "a head out of time":
        server.loop.passes(10)
    elif closes == "an idle time":
        one.timeout_keep_alive_handler()
    else:
        one.data_received(b"\x00\r\n\r\n")
    assert transport.state == "closing"

    server.loop.passes(10)

    assert transport.state == "cut off"


def test_who_has_not_read_for_longest_makes_room_for_the_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_UNREAD_BYTES", 3 * _MIB)
    clients = [server.connect() for _ in range(2)]
    for one, transport in clients:
        transport.unread = 2 * _MIB
        one.pause_writing()

    assert [transport.state for _, transport in clients] == ["cut off", "open"]


def test_a_connection_beyond_the_most_is_refused_until_another_ends(server: Server) -> None:
    clients = [server.connect() for _ in range(2)]
    for one, _ in clients:
        one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    clients.append(server.connect())
    assert [transport.state for _, transport in clients] == ["open", "open", "cut off"]

    for one, _ in clients[1:]:
        one.connection_lost(None)

    assert server.connect()[1].state == "open"


def test_a_connection_beyond_the_most_takes_the_place_of_the_one_idle_for_longest(server: Server) -> None:
    (busy, busy_transport), (first, first_transport) = server.connect(), server.connect()
    busy.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    first.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    end_answer(first)

    _, new_transport = server.connect()

    assert [t.state for t in (busy_transport, first_transport, new_transport)] == ["open", "closing", "open"]


def test_a_head_has_its_size_also_while_an_answer_is_made(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    one.data_received(b"GET /x HTTP/1.1\r\nA: ")
    one.data_received(b"x" * 60_000)
    assert transport.state == "open"
    one.data_received(b"x" * 10_000)

    assert transport.state == "cut off"


def test_requests_that_were_answered_are_let_go_however_many_come_behind(server: Server) -> None:
    one, _ = server.connect()
    one.data_received(3 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    for _ in range(100):
        end_answer(one, one._ahead[0])
        one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert len(one._ahead) < 10


def test_what_cannot_be_read_behind_a_request_gets_no_answer_that_would_be_taken_for_its_own(
    server: Server,
) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    one.data_received(b"\x00\r\n\r\n")

    assert (transport.state, transport.unread) == ("cut off", 0)


def test_a_stop_does_not_wait_for_ever_for_what_is_unread(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    end_answer(one)
    transport.unread = 1_000

    one.shutdown()
    server.loop.passes(10)

    assert transport.state == "cut off"


def test_a_head_behind_an_answer_that_was_read_late_has_its_time(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /ne")
    transport.unread = 1_000
    end_answer(one)
    transport.unread = 0

    server.loop.passes(10)

    assert transport.state == "closing"


def test_the_end_of_an_answer_that_is_not_read_is_cut_off(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    transport.unread = 1_000  # too little for a transport to ask for a pause
    end_answer(one)

    server.loop.passes(10)

    assert transport.state == "cut off"


def test_an_answer_to_a_request_with_others_behind_it_hears_that_the_client_is_gone(server: Server) -> None:
    one, _ = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    first = one.cycle
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    one.connection_lost(None)

    assert first.disconnected


def test_requests_sent_ahead_of_their_answers_are_bounded(server: Server) -> None:
    one, transport = server.connect()

    one.data_received(10_000 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert len(one.pipeline) < 100
    assert transport.state == "cut off"


def test_no_time_runs_while_an_answer_is_made_with_the_next_head_half_there(server: Server) -> None:
    one, transport = server.connect()
    one.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /ne")

    server.loop.passes(1_000)
    assert transport.state == "open"
    one.cycle.response_complete = True
    one.on_response_complete()
    server.loop.passes(10)

    assert transport.state == "closing"
