"""A signal reaches the event, also when it comes while the event's own lock is held."""

import os
import signal
import threading

import pytest

from marketdata.stopping import stop_on_signals

pytestmark = pytest.mark.usefixtures("kept_handlers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    stop = threading.Event()
    stop_on_signals(stop)

    os.kill(os.getpid(), number)

    assert stop.wait(30)


def test_a_signal_in_the_middle_of_waiting_does_not_deadlock() -> None:
    stop = threading.Event()
    stop_on_signals(stop)

    with stop._cond:  # type: ignore[attr-defined]  # held for an instant within Event.wait
        os.kill(os.getpid(), signal.SIGTERM)

    assert stop.wait(30)


def test_a_signal_that_comes_to_another_thread_is_heard_while_the_main_one_waits() -> None:
    stop, over = threading.Event(), threading.Event()
    other = threading.Thread(target=over.wait, daemon=True)
    other.start()
    stop_on_signals(stop)

    assert other.ident is not None
    signal.pthread_kill(other.ident, signal.SIGTERM)

    assert stop.wait(30)
    over.set()
    other.join()
