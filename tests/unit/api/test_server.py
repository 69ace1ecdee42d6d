"""Being asked to end before there is anything to be ended."""

import signal
import socket

import pytest
from starlette.types import Receive, Scope, Send

from marketdata.clock import SystemClock
from marketdata.telemetry.health import Heartbeats
from marketdata_api import server
from marketdata_api.connection import ConnectionLimits

pytestmark = pytest.mark.usefixtures("kept_handlers")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve nobody."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_the_event_loop_runs_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    found: list[bool] = []

    def run(asked: server.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(number)
        found.append(asked.should_exit)

    monkeypatch.setattr(server.Server, "run", run)
    with server.listen("127.0.0.1", 0) as listener:
        server.serve(
            nothing,
            listener,
            Heartbeats(SystemClock(), limit_seconds=30),
            limits=ConnectionLimits(
                max_connections=8, receive_seconds=1, send_seconds=1, keep_alive_seconds=1
            ),
            shutdown_seconds=1,
        )

    assert found == [True]
