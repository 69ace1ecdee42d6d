"""What is refused at the start, and what we rely on."""

import threading
from pathlib import Path

import pytest
import yfinance
from yfinance import cache
from yfinance.data import YfData

from marketdata.errors import Misconfigured
from marketdata_poller.providers.registry import InstalledProviders
from support.processes import Processes
from support.waiting import eventually
from support.yahoo import Yahoo, start
from support.yfinance_provider import a_provider, fetch


def test_a_cache_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")

    with pytest.raises(Misconfigured, match=r"MARKETDATA_YFINANCE_CACHE_DIR: .+/cache cannot be written"):
        InstalledProviders(environ={"MARKETDATA_YFINANCE_CACHE_DIR": str(file / "cache")}).get("yfinance")


def test_without_a_cache_folder_a_private_one_is_made_and_removed(
    yahoo: Yahoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    provider = InstalledProviders(environ={"MARKETDATA_YFINANCE_BASE_URL": yahoo.url}).get("yfinance")

    for _ in range(2):
        fetch(provider, "AAPL")

    (folder,) = tmp_path.glob("marketdata-yfinance-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert yahoo.counts() == {"cookie": 1, "crumb": 1, "quote": 2}
    provider.close()
    assert not folder.exists()


def test_what_we_touch_of_yfinance_is_there() -> None:
    assert yfinance.__version__.startswith("1.7.")
    data = YfData()
    assert {"_crumb", "_cookie", "_session", "_cookie_strategy"} <= set(vars(data))
    assert callable(data._set_session)
    assert callable(data._set_cookie_strategy)
    assert hasattr(cache._CookieCacheManager, "_Cookie_cache")
    assert hasattr(cache._TzCacheManager, "_tz_cache")


def test_the_stand_in_ends_cleanly_while_callers_hang(processes: Processes, tmp_path: Path) -> None:
    upstream = start(processes)
    provider = a_provider(upstream, tmp_path / "cache", MARKETDATA_YFINANCE_DEADLINE_SECONDS="30")
    upstream.fault("hang")
    caller = threading.Thread(target=fetch, args=(provider, "AAPL"))
    caller.start()
    eventually(lambda: upstream.counts().get("cookie"), within=10)

    upstream.process.terminate()

    assert upstream.process.wait(10) == 0
    caller.join()
    provider.close()


def test_two_stand_ins_are_two_upstreams(yahoo: Yahoo, processes: Processes, tmp_path: Path) -> None:
    other = start(processes)
    for index, upstream in enumerate((yahoo, other)):
        provider = a_provider(upstream, tmp_path / str(index))
        assert set(fetch(provider, "AAPL").quotes) == {"AAPL"}
        provider.close()

    assert yahoo.counts() == other.counts() == {"cookie": 1, "crumb": 1, "quote": 1}
