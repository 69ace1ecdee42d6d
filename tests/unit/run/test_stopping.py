"""Being asked to end."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from marketdata_tools.run.stopping import Stopping


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    """One that listens; the handlers of before come back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    made = Stopping()
    made.listen()
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nobody_asked_and_the_wait_ends_by_itself(stopping: Stopping) -> None:
    assert not stopping.wait(0.01)
    assert not stopping.is_asked


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_and_a_second_one_is_urgent(
    stopping: Stopping, number: signal.Signals
) -> None:
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    assert stopping.wait(30)
    assert not stopping.is_urgent
    os.kill(os.getpid(), number)
    assert stopping.is_urgent


def test_a_flood_of_signals_blocks_nobody(stopping: Stopping) -> None:
    for _ in range(2000):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(30)
