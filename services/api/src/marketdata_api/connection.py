"""One client's connection: the limits that uvicorn, httptools and the transport leave to their user.

httptools bounds neither the size of a request's head nor the time it may take, and a transport
waits for ever for a client that does not read. Here a head has a size and a time, which runs only
while one is awaited; an answer has a time for each stretch of it; a body that was not awaited
ends its connection with the answer; and what clients have not read is bounded for all of them
together. Who is over a limit is cut off without an answer: the clients that this is for would not
read one. Where there are as many connections as may be, who has been idle for longest makes room.
"""

import asyncio
import fcntl
import secrets
import socket
import struct
import termios
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from marketdata.telemetry import logs
from marketdata_api import problems

MAX_HEAD_BYTES = 65_536
# One read may bring ten thousand requests, and each costs kilobytes while it waits for those before.
MAX_PIPELINED = 64
# Of those that are behind, which a client is with more than the high mark; an eighth of what the chart
# lets the process have. The default of MAX_CONNECTIONS below that mark holds as much again.
MAX_UNREAD_BYTES = 67_108_864
_MARKS = {"high": 16_384, "low": 4_096}
# What a client has to take within the time for sending, so that a slow one that reads is served to its end.
_LEAST_READ_BYTES = 8_192
_RESET = struct.pack("ii", 1, 0)

_log = logs.get("connection")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """What a connection may take, and how many of them there may be."""

    max_connections: int
    receive_seconds: float
    send_seconds: float
    keep_alive_seconds: int


@dataclass(slots=True)
class Crowd:
    """What the connections of one server know of each other."""

    lagging: "dict[BoundedProtocol, None]" = field(default_factory=dict)
    """Those that wait for their clients to read, the longest first."""
    idle: "dict[BoundedProtocol, None]" = field(default_factory=dict)
    """Those on which nothing is under way, the longest first."""
    is_full: bool = False

    def relieve(self) -> None:
        """Cut off who has not read for longest, until what is unread fits."""
        unread = {one: one.transport.get_write_buffer_size() for one in self.lagging}
        total = sum(unread.values())
        for one, size in list(unread.items())[:-1]:
            if total <= MAX_UNREAD_BYTES:
                break
            one.cut_off()
            total -= size


class BoundedProtocol(HttpToolsProtocol):
    """Cuts off who sends an endless or a dripping head, and who does not read."""

    def __init__(self, *args: Any, limits: ConnectionLimits, crowd: Crowd, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._crowd = crowd
        self._head_bytes = 0
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._ahead: deque[RequestResponseCycle] = deque()
        self._keeps_alive = False
        self._ending = False
        self._unread = 0
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(**_MARKS)
        if len(self.connections) <= self._limits.max_connections:
            self._crowd.is_full = False
        elif not self._make_room():
            # An answer would be lost: what the client has sent is not read, so the system resets.
            transport.abort()
            return
        # Covers a connection that never sends anything, too.
        self._time_head()
        self._crowd.idle[self] = None

    def data_received(self, data: bytes) -> None:
        self._crowd.idle.pop(self, None)
        if self._in_head or not self._is_busy():
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._end_unanswered()
        elif not self._is_busy() and not self.transport.is_closing():
            # What came is part of a head, or the empty lines that may stand before one; uvicorn has
            # taken the timer of the idle connection away for it.
            self._time_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._ahead.append(before)
            if len(self.pipeline) > MAX_PIPELINED:
                raise ValueError("too many requests at once")  # httptools stops; the client is cut off
        # Until its body is there: an answer that does not wait for it says "close", and does.
        cycle = self.cycle
        self._keeps_alive = cycle.keep_alive
        cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self._keeps_alive and not self._ending:
            self.cycle.keep_alive = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        while self._ahead and self._ahead[0].response_complete:
            self._ahead.popleft()
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self._time_sending()
        if self._is_busy() or self.transport.is_closing():
            return
        if self._in_head:
            self._time_head()
        else:
            self._crowd.idle[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._crowd.lagging[self] = None
        self._time_sending()
        self._crowd.relieve()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._crowd.lagging.pop(self, None)
        if self._send_timer is not None and not self.transport.is_closing():
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        self.end()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words for it
        if self._is_busy():  # the client would take it for the answer that it waits for
            self.cut_off()
            return
        self.transport.write(_unreadable(self.server_state.default_headers))
        self.transport.close()
        self._time_sending()

    def shutdown(self) -> None:
        self._ending = True
        super().shutdown()
        if self.transport.is_closing():
            self._time_sending()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.lagging.pop(self, None)
        self._crowd.idle.pop(self, None)
        # uvicorn tells the last request of a connection only; the one that is being answered would
        # go on to write, and fail.
        for cycle in self._ahead:
            cycle.disconnected = True
            cycle.message_event.set()
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def cut_off(self) -> None:
        """End at once, with what is not read, here and in the system's buffer."""
        with suppress(OSError):  # it is gone already
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade is an offer, and one that is not taken is answered as it stands."""

    def _make_room(self) -> bool:
        if not self._crowd.is_full:
            _log.warning("connections are at their most", most=self._limits.max_connections)
        self._crowd.is_full = True
        one = next(iter(self._crowd.idle), None)
        if one is None:
            return False
        self._crowd.idle.pop(one)
        one.end()
        return True

    def _is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn types only what is there later
        return cycle is not None and not cycle.response_complete

    def _time_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.receive_seconds, self.end)

    def end(self) -> None:
        """Close, with the time for sending for what is not read yet."""
        if not self.transport.is_closing():
            self.transport.close()
        self._time_sending()

    def _end_unanswered(self) -> None:
        if self._is_busy():
            self.cut_off()
        else:
            self.end()

    def _time_sending(self) -> None:
        if self._send_timer is None:
            self._unread = self._unread_bytes()
            self._send_timer = self.loop.call_later(self._limits.send_seconds, self._look_at_sending)

    def _look_at_sending(self) -> None:
        self._send_timer = None
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            if self._unread_bytes() > max(0, self._unread - _LEAST_READ_BYTES):
                self.cut_off()
            else:
                self._time_sending()

    def _unread_bytes(self) -> int:
        """Count what the system holds too: it takes more of the transport when a third of its MBs is free."""
        unread = self.transport.get_write_buffer_size()
        with suppress(OSError):  # it is gone already
            place = self.transport.get_extra_info("socket").fileno()
            (queued,) = struct.unpack("i", fcntl.ioctl(place, termios.TIOCOUTQ, struct.pack("i", 0)))
            unread += queued
        return unread


def _unreadable(defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the whole answer to what is no request that HTTP knows."""
    request_id = secrets.token_hex(16)
    _log.info("unreadable request", request_id=request_id)
    problem = problems.Problem(problems.MALFORMED, "What was sent cannot be read as a request of HTTP/1.1.")
    rendered = problems.render(problem, instance="", trace_id=request_id)
    headers = {
        **{name.decode(): value.decode() for name, value in defaults},
        **rendered.headers,
        "x-request-id": request_id,
        "content-length": str(len(rendered.body)),
        "connection": "close",
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {rendered.status} Bad Request\r\n{fields}\r\n".encode() + rendered.body
