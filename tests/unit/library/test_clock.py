import threading
from datetime import UTC, timedelta

from marketdata.clock import ManualClock, SystemClock


def test_the_system_s_time_is_aware_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_the_system_s_clock_ends_a_wait_when_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    assert SystemClock().wait(60, stop)
    assert not SystemClock().wait(0, threading.Event())


def test_a_manual_clock_moves_only_by_waiting_and_when_told() -> None:
    clock = ManualClock()
    start, stop = clock.now(), threading.Event()

    clock.advance(5)
    stopped = clock.wait(60, stop)

    assert not stopped
    assert clock.now() - start == timedelta(seconds=65)
    assert clock.monotonic() == 65
