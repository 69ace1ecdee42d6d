"""What hangs or drips ends, and leaves nothing behind."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import marketdata_poller.providers.yfinance.transport  # noqa: F401 - else within the first time measured
from marketdata_poller.ports import Provider
from support.providers import OpenGate
from support.slowness import stopwatch
from support.yahoo import Yahoo
from support.yfinance_provider import BATCH, a_provider, fetch, reasons

DEADLINE = 1.0


@pytest.fixture
def provider(yahoo: Yahoo, tmp_path: Path) -> Iterator[Provider]:
    """A provider that is in a hurry."""
    made = a_provider(yahoo, tmp_path / "cache", MARKETDATA_YFINANCE_DEADLINE_SECONDS=str(DEADLINE))
    yield made
    made.close()


@pytest.mark.parametrize("endpoint", ["quote", "crumb", "cookie"])
@pytest.mark.parametrize(("kind", "seconds"), [("hang", 0.0), ("drip", 0.05)])
def test_hangs_and_drips_end_at_the_deadline(
    provider: Provider, yahoo: Yahoo, kind: str, seconds: float, endpoint: str
) -> None:
    yahoo.fault(kind, seconds=seconds, endpoint=endpoint)

    with stopwatch() as watch:
        fetch(provider, *BATCH)

    assert watch.seconds < DEADLINE + 0.7


def test_a_hang_is_a_timeout(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("hang")

    assert reasons(fetch(warm, "AAPL")) == {"upstream_timeout"}


def test_a_cookie_host_that_hangs_leaves_time_for_charts(provider: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("hang", endpoint="cookie")

    assert set(fetch(provider, "AAPL").quotes) <= {"AAPL"}


def test_hangs_leave_no_thread_no_connection_and_no_memory_behind(yahoo: Yahoo, tmp_path: Path) -> None:
    provider = a_provider(yahoo, tmp_path / "cache", MARKETDATA_YFINANCE_DEADLINE_SECONDS="0.1")
    process = psutil.Process()

    def fetch_in_a_thread_of_its_own() -> None:
        thread = threading.Thread(target=fetch, args=(provider, *BATCH))
        thread.start()
        thread.join()

    for _ in range(5):
        fetch_in_a_thread_of_its_own()
    yahoo.fault("hang")
    gc.collect()
    threads, files, memory = set(threading.enumerate()), process.num_fds(), process.memory_info().rss
    for _ in range(30):
        fetch_in_a_thread_of_its_own()
    gc.collect()

    assert set(threading.enumerate()) <= threads
    assert process.num_fds() <= files + 2
    assert process.memory_info().rss - memory < 8 << 20
    provider.close()


def test_a_second_fetch_during_one_that_hangs_fails_at_once(warm: Provider, yahoo: Yahoo) -> None:
    yahoo.fault("hang")
    entered = threading.Event()

    class Entered(OpenGate):
        def take(self, endpoint: str) -> None:
            super().take(endpoint)
            entered.set()

    first = threading.Thread(target=lambda: warm.fetch(("AAPL",), gate=Entered()))
    first.start()
    assert entered.wait(30)
    second = fetch(warm, "MSFT")
    warm.close()
    first.join()

    assert reasons(second) == {"upstream_timeout"}
